"""What every scorer must do: each implementation × each check is one test."""

import threading
from collections.abc import Callable

import numpy as np

from services.models.scorer import Matrix, Scorer, Vector

Reference = Callable[[Matrix], Vector]
Check = Callable[[Scorer, Matrix, Reference], None]

TOLERANCE = 1e-6


def check_agrees_with_the_library(scorer: Scorer, matrix: Matrix, reference: Reference) -> None:
    """The scores are those of the uploaded model, row by row, also next to thresholds."""
    np.testing.assert_allclose(scorer.score(matrix), reference(matrix), rtol=TOLERANCE, atol=TOLERANCE)


def check_one_row_is_like_many(scorer: Scorer, matrix: Matrix, reference: Reference) -> None:
    """A row's score does not depend on what is scored with it, but for the order in which sums are taken."""
    together = scorer.score(matrix[:20])
    alone = np.concatenate([scorer.score(matrix[i : i + 1]) for i in range(len(together))])
    np.testing.assert_allclose(alone, together, rtol=1e-12)


def check_shape_and_type(scorer: Scorer, matrix: Matrix, reference: Reference) -> None:
    """float64[n] for n rows, and nothing for none."""
    for rows in (matrix, matrix[:1], matrix[:0]):
        scores = scorer.score(rows)
        assert scores.shape == (len(rows),)
        assert scores.dtype == np.float64


def check_memory_layout_does_not_matter(scorer: Scorer, matrix: Matrix, reference: Reference) -> None:
    """Column order in memory, and steps over rows, change nothing."""
    want = scorer.score(matrix)
    np.testing.assert_allclose(scorer.score(np.asfortranarray(matrix)), want, rtol=1e-12)
    np.testing.assert_allclose(scorer.score(matrix[::-1]), want[::-1], rtol=1e-12)


def check_input_is_left_alone(scorer: Scorer, matrix: Matrix, reference: Reference) -> None:
    """Scoring writes nothing into the matrix."""
    before = matrix.copy()
    scorer.score(matrix)
    np.testing.assert_array_equal(matrix, before)


def check_scores_are_the_callers(scorer: Scorer, matrix: Matrix, reference: Reference) -> None:
    """A later call does not change what an earlier one returned."""
    first = scorer.score(matrix)
    kept = first.copy()
    scorer.score(matrix[::-1].copy())
    np.testing.assert_array_equal(first, kept)


def check_another_width_is_refused(scorer: Scorer, matrix: Matrix, reference: Reference) -> None:
    """ValueError for a column too many or too few, and for a vector."""
    for wrong in (matrix[:, :-1], np.hstack([matrix, matrix[:, :1]]), matrix[0]):
        try:
            scorer.score(wrong)
        except ValueError:
            continue
        raise AssertionError(f"a matrix of shape {wrong.shape} was scored")


def check_extreme_values(scorer: Scorer, matrix: Matrix, reference: Reference) -> None:
    """Values beyond float32 are scored like any large value, without a warning."""
    rows = np.repeat(matrix[:1], 2, axis=0)
    rows[0], rows[1] = 1e100, -1e100
    assert np.isfinite(scorer.score(rows)).all()


def check_threads(scorer: Scorer, matrix: Matrix, reference: Reference) -> None:
    """Four threads at once get what one gets."""
    want = scorer.score(matrix)
    same: list[bool] = []

    def work() -> None:
        same.extend(np.array_equal(scorer.score(matrix), want) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 80


def check_features_are_names(scorer: Scorer, matrix: Matrix, reference: Reference) -> None:
    """As many names as columns, each once."""
    assert len(scorer.features) == len(set(scorer.features)) == matrix.shape[1]


CHECKS: tuple[Check, ...] = (
    check_agrees_with_the_library,
    check_one_row_is_like_many,
    check_shape_and_type,
    check_memory_layout_does_not_matter,
    check_input_is_left_alone,
    check_scores_are_the_callers,
    check_another_width_is_refused,
    check_extreme_values,
    check_threads,
    check_features_are_names,
)
