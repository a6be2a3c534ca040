"""How far a prediction may be trusted: a number from 0 to 1 with three named parts.

    confidence = observed x fresh x familiar

- observed: the share of the model's features that were fully observed, not imputed.
- fresh: 1 while the pool's last record is at most `ALLOWED_SILENCE_H` old (AWS repeats an unchanged price about every
  24 h, so an older one hints at missing data), then halved for every further `HALF_LIFE_H`.
- familiar: the share of features whose value lies within the range of the model's reference sample, among those whose
  range is known; 1 where the author sent no sample (`familiar` is then unknown, and said to be).

It speaks of the inputs, not of the model's skill: that is what the metrics and the ledger are for.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.models.scorer import Matrix, Vector
from services.models.version import ModelVersion

ALLOWED_SILENCE_H = 25.0
HALF_LIFE_H = 24.0


@dataclass(frozen=True, slots=True)
class Confidence:
    """Each float64[n]; `familiar` is None where the model has no reference sample."""

    observed: Vector
    fresh: Vector
    familiar: Vector | None

    @property
    def total(self) -> Vector:
        """The product of the parts, float64[n]."""
        known = self.observed * self.fresh
        return known if self.familiar is None else known * self.familiar


def assess(version: ModelVersion, matrix: Matrix, imputed: NDArray[np.bool_], silence_h: Vector) -> Confidence:
    """Confidence of n predictions.

    `matrix` float64[n, features] and `imputed` bool[n, features] have the model's columns; `silence_h` float64[n] is
    the age of each pool's last record in hours (NaN where there is none: fresh is 0).
    """
    observed = 1.0 - imputed.mean(axis=1) if matrix.shape[1] else np.ones(len(matrix))
    overdue = np.maximum(np.where(np.isnan(silence_h), np.inf, silence_h) - ALLOWED_SILENCE_H, 0.0)
    return Confidence(observed, np.exp2(-overdue / HALF_LIFE_H), _familiar(version, matrix))


def _familiar(version: ModelVersion, matrix: Matrix) -> Vector | None:
    known = [(i, version.feature_ranges[f]) for i, f in enumerate(version.features) if f in version.feature_ranges]
    if not known:
        return None
    columns = [i for i, _ in known]
    low = np.array([r.low for _, r in known])
    high = np.array([r.high for _, r in known])
    values = matrix[:, columns]
    inside: Vector = ((values >= low) & (values <= high)).mean(axis=1)
    return inside
