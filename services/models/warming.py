"""The first scores of a freshly loaded model, before anyone is answered by it: they must be what its task allows."""

import numpy as np

from services.errors import ModelRefused
from services.models.scorer import Matrix, Scorer
from services.models.version import ModelVersion

ROWS = 3


def warm(scorer: Scorer, version: ModelVersion) -> None:
    """Score the low end, the medians and the high end of the model's reference sample.

    Raises `ModelRefused` (code `warm-up-failed`) when the scores are not finite numbers, one a row, and for
    probabilities within 0..1; and what the scorer raises.
    """
    scores = scorer.score(probe(version))
    if scores.shape != (ROWS,):
        raise _refusal(version, f"{ROWS} rows gave scores of shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise _refusal(version, "its score of a row from its reference sample is no finite number")
    if version.task == "spot_interruption" and not ((scores >= 0.0) & (scores <= 1.0)).all():
        raise _refusal(version, f"it gave {scores.min():g} to {scores.max():g} as probabilities")


def probe(version: ModelVersion) -> Matrix:
    """float64[3, features]; zeros for features of which the author sent no sample."""
    ranges = [version.feature_ranges.get(feature) for feature in version.features]
    rows = [[getattr(known, end) if known else 0.0 for known in ranges] for end in ("low", "median", "high")]
    return np.array(rows, np.float64).reshape(ROWS, len(version.features))


def _refusal(version: ModelVersion, detail: str) -> ModelRefused:
    return ModelRefused("warm-up-failed", f"{version.model_id}: {detail}", "Check the model, and upload it anew.")
