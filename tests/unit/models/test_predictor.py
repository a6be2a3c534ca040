"""From feature rows to predictions: the model's own columns in its own order, and honesty about what is unknown."""

import numpy as np
import pytest

from services.models.predictor import predict
from services.models.version import FeatureRange
from tests.unit.live.live_blocks import Echo, version

NAMES = ("hour", "vcpu", "price")
RANGES = {"price": FeatureRange(low=0.0, high=1.0, median=0.125)}
NAN = float("nan")


def flags(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    return np.zeros((count, len(NAMES)), dtype=np.bool_)


def test_the_models_columns_come_in_its_order() -> None:
    scorer = Echo()
    scored = predict(scorer, version(), NAMES, np.array([[7.0, 2.0, 0.5]]), flags(1), np.array([1.0]))
    assert scorer.asked[0].tolist() == scored.matrix.tolist() == [[0.5, 7.0]]
    assert scored.values.tolist() == [0.5]
    assert scored.imputed_names(0, version().features) == []


def test_an_unknown_value_becomes_the_median_and_counts_as_imputed() -> None:
    model = version(ranges=RANGES)
    rows = np.array([[7.0, 2.0, NAN], [7.0, 2.0, 0.5]])
    scored = predict(Echo(), model, NAMES, rows, flags(2), np.ones(2))
    assert scored.values.tolist() == [0.125, 0.5]
    assert [scored.imputed_names(row, model.features) for row in (0, 1)] == [["price"], []]
    assert scored.confidence.observed.tolist() == [0.5, 1.0]
    assert np.isnan(rows[0, 2]), "the caller's rows stay as they are"


def test_without_a_median_there_is_no_prediction() -> None:
    scorer = Echo()
    rows = np.array([[7.0, 2.0, NAN], [7.0, 2.0, 0.5]])
    scored = predict(scorer, version(), NAMES, rows, flags(2), np.ones(2))
    assert np.isnan(scored.values[0])
    assert scored.values[1] == 0.5
    assert scorer.asked[0].tolist() == [[0.5, 7.0]], "the scorer never sees an unknown"
    nothing = predict(scorer, version(), NAMES, rows[:1], flags(1), np.ones(1))
    assert np.isnan(nothing.values).all()
    assert len(scorer.asked) == 1


def test_flags_of_other_features_do_not_matter() -> None:
    imputed = flags(1)
    imputed[0, NAMES.index("vcpu")] = True
    scored = predict(Echo(), version(), NAMES, np.array([[7.0, 2.0, 0.5]]), imputed, np.ones(1))
    assert scored.confidence.observed.tolist() == [1.0]


def test_no_rows_and_a_feature_that_nobody_has() -> None:
    assert predict(Echo(), version(), NAMES, np.empty((0, 3)), flags(0), np.empty(0)).values.tolist() == []
    with pytest.raises(KeyError):
        predict(Echo(), version(("weather",)), NAMES, np.ones((1, 3)), flags(1), np.ones(1))
