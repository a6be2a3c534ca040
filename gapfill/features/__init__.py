"""The registry of features and the one computation behind training, filling, ticking and predicting."""

from gapfill.features.computation import compute

__all__ = ["compute"]
