"""Experiments: versions that answer side by side, or in the shadow, held against each other and promoted or ended."""
