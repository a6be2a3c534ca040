"""Wiring: plain objects put together from the settings, for whichever root they serve."""
