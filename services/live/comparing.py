"""Two versions side by side: what they are made of, and what they say of the same pools at the same moment."""

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from services.live.board import FeatureBlock
from services.models.held import Lent
from services.models.predictor import Scored, predict
from services.models.scorer import Vector
from services.models.version import ModelVersion

MOST_DIFFERENT = 20
SHOWN = (
    "model_id",
    "task",
    "horizon_hours",
    "trained_until",
    "uploaded_at",
    "uploaded_by",
    "estimator",
    "format",
    "compiled",
    "size_bytes",
    "sha256",
    "description",
    "libraries",
)


def made_of(a: ModelVersion, b: ModelVersion) -> dict[str, Any]:
    """Metadata of both, what differs, their metrics, features and importances."""
    rows = {"a": a.row(), "b": b.row()}
    metadata = {side: {name: row[name] for name in SHOWN} for side, row in rows.items()}
    return {
        **metadata,
        "differs": [name for name in SHOWN if rows["a"][name] != rows["b"][name]],
        "metrics": _beside(a.metrics, b.metrics),
        "features": {
            "common": [name for name in a.features if name in b.features],
            "only_a": [name for name in a.features if name not in b.features],
            "only_b": [name for name in b.features if name not in a.features],
            "same_order": a.features == b.features,
        },
        "feature_importance": _beside(a.feature_importance, b.feature_importance),
    }


def say(lent: Lent, block: FeatureBlock) -> Scored:
    """A version's predictions of every pool of the block; raises what its scorer raises."""
    return predict(lent.scorer, lent.version, block.names, block.matrix, block.imputed, block.silence_h())


def predictions(a: Scored, b: Scored, block: FeatureBlock, most: int = MOST_DIFFERENT) -> dict[str, Any]:
    """How far apart two versions of one task are over the block's pools, and where the most (b less a)."""
    known = np.isfinite(a.values) & np.isfinite(b.values)
    ours, theirs = a.values[known], b.values[known]
    apart = theirs - ours
    pool_ids = [pool_id for pool_id, both in zip(block.pool_ids, known, strict=True) if both]
    order = np.argsort(-np.abs(apart), kind="stable")[:most]
    return {
        "as_of": block.as_of,
        "pools": len(block.pool_ids),
        "known_of_both": int(known.sum()),
        "known_of_a": int(np.isfinite(a.values).sum()),
        "known_of_b": int(np.isfinite(b.values).sum()),
        "difference": _summary(ours, theirs),
        "most_different": [
            {
                "pool_id": pool_ids[place],
                "a": float(ours[place]),
                "b": float(theirs[place]),
                "difference": float(apart[place]),
                "confidence_a": float(a.confidence.total[known][place]),
                "confidence_b": float(b.confidence.total[known][place]),
            }
            for place in order
        ],
    }


def _summary(ours: Vector, theirs: Vector) -> dict[str, float | int | None] | None:
    if not len(ours):
        return None
    apart = theirs - ours
    distances = np.abs(apart)
    p50, p95 = np.quantile(distances, [0.5, 0.95])
    return {
        "mean_a": float(ours.mean()),
        "mean_b": float(theirs.mean()),
        "mean": float(apart.mean()),
        "mean_absolute": float(distances.mean()),
        "p50_absolute": float(p50),
        "p95_absolute": float(p95),
        "largest": float(distances.max()),
        "equal": int((distances == 0).sum()),
        "rank_correlation": _rank_correlation(ours, theirs),
    }


def _rank_correlation(ours: Vector, theirs: Vector) -> float | None:
    """Spearman's; None where one side says the same of every pool."""
    if len(ours) < 3 or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return None
    return float(spearmanr(ours, theirs).statistic)


def _beside(a: dict[str, float], b: dict[str, float]) -> list[dict[str, Any]]:
    """Every name of both, with both values and their difference where both have one."""
    names = sorted(a.keys() | b.keys(), key=lambda name: (-max(abs(a.get(name, 0)), abs(b.get(name, 0))), name))
    return [
        {
            "name": name,
            "a": a.get(name),
            "b": b.get(name),
            "difference": b[name] - a[name] if name in a and name in b else None,
        }
        for name in names
    ]
