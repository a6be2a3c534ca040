"""Engines to read and to start from: one of rules, one of models, one of both; each passes every check."""
