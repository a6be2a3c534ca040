"""Which features a model heeds when it has no word on it itself: permutation importance on its reference sample.

Breiman (2001), "Random forests", section 10: a feature's values are shuffled among the rows, and what that does to the
predictions is its importance. With known outcomes that is how much the mean squared error grows (for probabilities,
the Brier score); without, how far the predictions move, in the mean of absolute values. Shares that sum to 1.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from services.models.scorer import Matrix, Vector

ROWS_AT_MOST = 500
REPEATS = 3
FEWEST_ROWS = 20
# What a sample may call the column of what came true.
OUTCOMES = ("outcome", "target", "label")

ImportanceFrom = Literal["model", "permutation_on_outcomes", "permutation_on_predictions"]
Row = dict[str, float | None]


def permutation_importance(
    score: Callable[[Matrix], Vector], features: Sequence[str], sample: Sequence[Row]
) -> tuple[dict[str, float], ImportanceFrom] | None:
    """Shares by feature and what they rest on; None where the sample is too small or no feature moves anything.

    Rows in which a feature is unknown are left out. Raises what `score` raises.
    """
    rows = [row for row in sample if all(row.get(name) is not None for name in features)]
    chosen = rows[:: max(1, -(-len(rows) // ROWS_AT_MOST))]
    if len(chosen) < FEWEST_ROWS:
        return None
    matrix = np.array([[row[name] for name in features] for row in chosen], np.float64)
    outcomes = _outcomes(chosen)
    shares = _shares(score, matrix, outcomes)
    if shares is None:
        return None
    named = dict(zip(features, map(float, shares), strict=True))
    return named, "permutation_on_predictions" if outcomes is None else "permutation_on_outcomes"


def _shares(score: Callable[[Matrix], Vector], matrix: Matrix, outcomes: Vector | None) -> Vector | None:
    random = np.random.default_rng(0)  # the same file always has the same importance
    before = score(matrix)
    found = np.zeros(matrix.shape[1])
    for column in range(matrix.shape[1]):
        shuffled = np.tile(matrix, (REPEATS, 1))
        for repeat in range(REPEATS):
            part = slice(repeat * len(matrix), (repeat + 1) * len(matrix))
            shuffled[part, column] = random.permutation(matrix[:, column])
        after = score(shuffled).reshape(REPEATS, len(matrix))
        if outcomes is None:
            found[column] = np.abs(after - before).mean()
        else:
            found[column] = ((after - outcomes) ** 2).mean() - ((before - outcomes) ** 2).mean()
    found = np.clip(found, 0.0, None)
    total = float(found.sum())
    return found / total if np.isfinite(total) and total > 0 else None


def _outcomes(rows: Sequence[Row]) -> Vector | None:
    """float64[rows] of the first column of `OUTCOMES` that every row has."""
    for name in OUTCOMES:
        values = [row.get(name) for row in rows]
        if all(value is not None for value in values):
            return np.array(values, np.float64)
    return None
