"""Drift: whether what the models see now still looks like what they were made for, and if not, why."""
