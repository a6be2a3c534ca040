"""Permutation importance: what moves the predictions counts, what does not has no share, and outcomes are used."""

import io

import joblib
import numpy as np
import pytest
from sklearn.inspection import permutation_importance as sklearn_importance
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier

from services.models.intake import Intake
from services.models.permutation import FEWEST_ROWS, ROWS_AT_MOST, Row, permutation_importance
from services.models.scorer import Matrix, Vector
from tests.trained_models import FEATURES, table
from tests.unit.models.upload_steps import upload

NAMES = ("a", "b", "c")


def rows(count: int = 200) -> list[Row]:
    random = np.random.default_rng(3)
    return [
        {name: float(value) for name, value in zip(NAMES, row, strict=True)} for row in random.normal(size=(count, 3))
    ]


def weighted(matrix: Matrix) -> Vector:
    """Heeds `a` three times as much as `b`, and `c` not at all."""
    return np.asarray(3 * matrix[:, 0] + matrix[:, 1])


def test_without_outcomes_it_is_how_far_predictions_move() -> None:
    found = permutation_importance(weighted, NAMES, rows())
    assert found is not None
    shares, rests_on = found
    assert rests_on == "permutation_on_predictions"
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["c"] == 0.0
    assert 2.5 < shares["a"] / shares["b"] < 3.5


def test_with_outcomes_it_is_how_much_worse_predictions_become() -> None:
    """As scikit-learn measures it, whose shuffles are others: so within a few percent."""
    sample = rows(ROWS_AT_MOST)
    matrix = np.array([[row[name] for name in NAMES] for row in sample], np.float64)
    outcomes = weighted(matrix) + matrix[:, 2] * 0.01
    for row, outcome in zip(sample, outcomes, strict=True):
        row["outcome"] = float(outcome)
    model = LinearRegression().fit(matrix, outcomes)
    theirs = sklearn_importance(
        model, matrix, outcomes, scoring="neg_mean_squared_error", n_repeats=20, random_state=1
    ).importances_mean
    found = permutation_importance(model.predict, NAMES, sample)
    assert found is not None
    shares, rests_on = found
    assert rests_on == "permutation_on_outcomes"
    np.testing.assert_allclose(list(shares.values()), theirs / theirs.sum(), atol=0.03)


def test_a_feature_that_only_looks_important_gets_nothing_where_outcomes_are_known() -> None:
    """The model heeds `a`, but the outcomes have nothing to do with it."""
    random = np.random.default_rng(1)
    sample = [row | {"target": float(value)} for row, value in zip(rows(), random.normal(size=200), strict=True)]
    found = permutation_importance(lambda matrix: 1e-3 * matrix[:, 0], NAMES, sample)
    assert found is None or found[0]["b"] == 0.0


@pytest.mark.parametrize(
    "sample", [[], rows(FEWEST_ROWS - 1), [{**row, "b": None} for row in rows()], [{"a": 1.0} for _ in range(100)]]
)
def test_a_sample_that_says_too_little_has_no_importance(sample: list[Row]) -> None:
    assert permutation_importance(weighted, NAMES, sample) is None


def test_a_model_that_heeds_nothing_has_no_importance() -> None:
    assert permutation_importance(lambda matrix: np.full(len(matrix), 0.5), NAMES, rows()) is None


def test_no_more_rows_are_scored_than_are_needed() -> None:
    seen: list[int] = []

    def score(matrix: Matrix) -> Vector:
        seen.append(len(matrix))
        return weighted(matrix)

    permutation_importance(score, NAMES, rows(3 * ROWS_AT_MOST + 7))
    assert seen[0] <= ROWS_AT_MOST


def test_an_upload_without_a_word_of_its_own_is_tried_in_its_child(intake: Intake) -> None:
    sample = table().head(60)
    target = (table()["price_to_on_demand"] > 0.3).astype(int)
    model = KNeighborsClassifier(5).fit(table()[["price_to_on_demand", "vcpu"]], target)
    out = io.BytesIO()
    joblib.dump(model, out)
    plain = upload(intake, out.getvalue(), name="plain")
    tried = upload(intake, out.getvalue(), name="tried", reference_sample=sample.to_dict(orient="records"))
    assert (plain.feature_importance, plain.importance_from) == ({}, None)
    assert tried.importance_from == "permutation_on_predictions"
    assert set(tried.feature_importance) == {"price_to_on_demand", "vcpu"}
    assert set(tried.features) < set(FEATURES)
    assert sum(tried.feature_importance.values()) == pytest.approx(1.0)
