"""Confidence: 1 for what is observed, fresh and familiar, and less by the written rule for what is not."""

import numpy as np
import pytest

from services.models.confidence import ALLOWED_SILENCE_H, HALF_LIFE_H, assess
from services.models.version import FeatureRange, ModelVersion
from tests.unit.live.live_blocks import version

RANGES = {"price": FeatureRange(low=0.1, high=0.2, median=0.15), "hour": FeatureRange(low=0, high=23, median=12)}


def total(model: ModelVersion, values: list[float], imputed: list[bool] | None = None, silence_h: float = 1.0) -> float:
    """The confidence of one row."""
    flags = np.array([imputed or [False] * len(values)])
    return float(assess(model, np.array([values]), flags, np.array([silence_h])).total[0])


def test_all_is_well() -> None:
    assert total(version(ranges=RANGES), [0.15, 12]) == 1
    assert total(version(ranges=RANGES), [0.1, 23]) == 1, "the ends of a range are within it"


@pytest.mark.parametrize(("imputed", "left"), [([True, False], 0.5), ([True, True], 0.0)])
def test_it_falls_with_the_share_of_imputed_features(imputed: list[bool], left: float) -> None:
    assert total(version(ranges=RANGES), [0.15, 12], imputed) == left


@pytest.mark.parametrize(
    ("silence_h", "left"),
    [
        (0, 1),
        (ALLOWED_SILENCE_H, 1),
        (ALLOWED_SILENCE_H + HALF_LIFE_H, 0.5),
        (ALLOWED_SILENCE_H + 3 * HALF_LIFE_H, 0.125),
        (float("nan"), 0),
    ],
)
def test_it_halves_with_every_further_day_of_silence(silence_h: float, left: float) -> None:
    assert total(version(), [0.15, 12], silence_h=silence_h) == pytest.approx(left)


def test_it_falls_with_the_share_of_features_out_of_their_range() -> None:
    assert total(version(ranges=RANGES), [0.3, 12]) == 0.5
    assert total(version(ranges=RANGES), [0.3, 24]) == 0
    assert total(version(ranges={"price": RANGES["price"]}), [0.3, 99]) == 0


def test_without_a_sample_nothing_is_said_of_the_range() -> None:
    made = assess(version(), np.array([[9.0, 9.0]]), np.array([[False, False]]), np.array([1.0]))
    assert made.familiar is None
    assert made.total.tolist() == [1.0]


def test_the_parts_multiply() -> None:
    silent = ALLOWED_SILENCE_H + HALF_LIFE_H
    assert total(version(ranges=RANGES), [0.3, 12], [True, False], silent) == pytest.approx(0.5**3)
