"""From feature rows to predictions: the same few steps for a gap, a tick and a request."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.models.awaiting import score_soon
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


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows as the model wants them; `known` bool[n] are those that can be scored, None where all can."""

    matrix: Matrix
    imputed: NDArray[np.bool_]
    confidence: Confidence
    known: NDArray[np.bool_] | None

    @property
    def rows(self) -> Matrix:
        """What the scorer is to see, float64[known, features]."""
        return self.matrix if self.known is None else self.matrix[self.known]

    def scored(self, scores: Vector) -> Scored:
        """With the scores of `rows`, float64[known]."""
        if self.known is None:
            return Scored(scores, self.confidence, self.matrix, self.imputed)
        values = np.full(len(self.matrix), np.nan)
        values[self.known] = scores
        return Scored(values, self.confidence, self.matrix, self.imputed)


def predict(
    scorer: Scorer,
    version: ModelVersion,
    names: Sequence[str],
    rows: Matrix,
    imputed: NDArray[np.bool_],
    silence_h: Vector,
) -> Scored:
    """Score n feature rows; raises as `asked` and the scorer do."""
    question = asked(version, names, rows, imputed, silence_h)
    return question.scored(scorer.score(question.rows) if len(question.rows) else NOTHING)


async def predict_soon(
    scorer: Scorer,
    version: ModelVersion,
    names: Sequence[str],
    rows: Matrix,
    imputed: NDArray[np.bool_],
    silence_h: Vector,
) -> Scored:
    """`predict` on the event loop: a model in another process is awaited, and holds nobody else up."""
    question = asked(version, names, rows, imputed, silence_h)
    return question.scored(await score_soon(scorer, question.rows) if len(question.rows) else NOTHING)


def asked(
    version: ModelVersion, names: Sequence[str], rows: Matrix, imputed: NDArray[np.bool_], silence_h: Vector
) -> Asked:
    """Feature rows in a model's own columns.

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
    known = np.logical_not(np.isnan(matrix).any(axis=1))
    return Asked(matrix, flags, assess(version, matrix, flags, silence_h), None if known.all() else known)


NOTHING: Vector = np.empty(0)
