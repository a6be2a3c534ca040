"""How much each feature counts, as the model itself says; runs in the confined child.

Shares that sum to 1. Trees say what their splits gained (scikit-learn's `feature_importances_`, the boosters' total
gain); linear models have the size of their coefficients, on the values that they see (after a scaler: in standard
deviations; without one: per unit of the feature). Who says neither (neighbours, networks, histogram boosting) has none,
and permutation importance on the author's reference sample can stand in.
"""

from typing import Any

import lightgbm
import numpy as np
import xgboost
from sklearn.base import OneToOneFeatureMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline

from services.models.boosters import gains

Array = np.ndarray[Any, Any]

DEEPEST = 5
UNKNOWN = (AttributeError, ValueError, TypeError, IndexError, KeyError, NotImplementedError, OverflowError)


def importance_of(model: Any, features: list[str]) -> dict[str, float] | None:
    """Feature name → share of the whole (0..1, summing to 1); None where the model has no word on it."""
    try:
        weights = _weights(model, len(features), 0)
    except UNKNOWN:
        return None
    if weights is None or weights.shape != (len(features),):
        return None
    total = weights.sum()
    if not np.isfinite(total) or total <= 0 or (weights < 0).any():
        return None
    return dict(zip(features, (weights / total).tolist(), strict=True))


def _weights(model: Any, width: int, depth: int) -> Array | None:
    """float64[width], not negative; None where there are none."""
    if depth > DEEPEST:
        return None
    if isinstance(model, Pipeline):
        kept = all(
            step in (None, "passthrough") or isinstance(step, OneToOneFeatureMixin) for _, step in model.steps[:-1]
        )
        return _weights(model.steps[-1][1], width, depth + 1) if kept else None
    if isinstance(model, CalibratedClassifierCV):
        return _mean([_weights(part.estimator, width, depth + 1) for part in model.calibrated_classifiers_])
    if isinstance(model, xgboost.XGBModel):
        return _gains(model.get_booster(), width)
    if isinstance(model, lightgbm.LGBMModel):
        return _gains(model.booster_, width)
    if isinstance(model, xgboost.Booster | lightgbm.Booster):
        return _gains(model, width)
    found = getattr(model, "feature_importances_", None)
    if found is not None:
        return np.asarray(found, np.float64)
    found = getattr(model, "coef_", None)
    return None if found is None else np.abs(np.asarray(found, np.float64)).reshape(-1, width).mean(axis=0)


def _gains(booster: Any, width: int) -> Array:
    found: Array = gains(booster, width)
    return found


def _mean(parts: list[Array | None]) -> Array | None:
    known = [part for part in parts if part is not None]
    return np.mean(known, axis=0) if known and len(known) == len(parts) else None
