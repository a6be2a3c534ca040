"""From feature rows to predictions: the same few steps for a gap, a tick and a request."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.models.confidence import Confidence, assess
from services.models.scorer import Matrix, Scorer, Vector
from services.models.version import ModelVersion


@dataclass(frozen=True, slots=True)
class Scored:
    """n predictions: `values` float64[n] (NaN where an input is unknown and the model has no typical value for it).

    `matrix` float64[n, features] is exactly what the scorer saw, `imputed` bool[n, features] what of it was not
    fully observed; both in the order of the model's features.
    """

    values: Vector
    confidence: Confidence
    matrix: Matrix
    imputed: NDArray[np.bool_]

    def imputed_names(self, row: int, features: Sequence[str]) -> list[str]:
        """The names of the imputed features of one row."""
        return [name for name, flag in zip(features, self.imputed[row], strict=True) if flag]


def predict(
    scorer: Scorer,
    version: ModelVersion,
    names: Sequence[str],
    rows: Matrix,
    imputed: NDArray[np.bool_],
    silence_h: Vector,
) -> Scored:
    """Score n feature rows.

    `rows` float64[n, len(names)] may hold NaN for what is unknown; such a value becomes the median of the model's
    reference sample and counts as imputed, and where there is none the prediction is NaN. Raises KeyError when the
    model wants a feature that is not in `names`.
    """
    place = {name: i for i, name in enumerate(names)}
    columns = [place[feature] for feature in version.features]
    matrix = rows[:, columns]
    gaps = np.isnan(matrix)
    flags = imputed[:, columns] | gaps
    if gaps.any():
        medians = np.array(
            [version.feature_ranges[f].median if f in version.feature_ranges else np.nan for f in version.features]
        )
        matrix = np.where(gaps, medians, matrix)
    confidence = assess(version, matrix, flags, silence_h)
    unknown = np.isnan(matrix).any(axis=1)
    if not unknown.any():
        return Scored(scorer.score(matrix), confidence, matrix, flags)
    values = np.full(len(matrix), np.nan)
    if not unknown.all():
        values[~unknown] = scorer.score(matrix[~unknown])
    return Scored(values, confidence, matrix, flags)
