"""What a request's own price and launch time change in a row, and what they leave alone."""

from datetime import datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapfill.errors import FeatureRequestInvalid
from gapfill.features import compute
from gapfill.features.registry import NAMES
from gapfill.features.request import Rows, apply_request, now_observed
from tests.unit.features import feature_frames as frames
from tests.unit.features.feature_frames import POOL, START
from tests.unit.features.feature_reference import H, instant

AT = START + 200 * H
NOW = instant(AT)
POINTS = [(START, 40_000), (START + 60 * H, 44_000), (START + 190 * H, 42_000)]
LISTED = [("us-east-1", "m5.large", "Linux/UNIX", START, 96_000)]
TIMES = {"hours_since_launch", "hour", "day_of_week"}


def _rows(points: list[tuple[int, int]], launched_at: datetime | None = None) -> Rows:
    asked = frames.asks([(POOL, AT)], launched_at)
    found = compute(frames.prices({POOL: points}), asked, frames.on_demand(LISTED), frames.types())
    return found.select(pl.col(NAMES)).to_numpy().astype(np.float64)


def _differing(one: Rows, other: Rows) -> set[str]:
    return {
        name for name, a, b in zip(NAMES, one[0], other[0], strict=True) if a != b and not (np.isnan(a) and np.isnan(b))
    }


def _value(rows: Rows, name: str) -> float:
    return float(rows[0, NAMES.index(name)])


def test_the_price_that_holds_changes_nothing() -> None:
    rows = _rows(POINTS)
    assert _differing(rows, apply_request(rows, NAMES, now=NOW, spot_price=0.042)) == set()


@pytest.mark.parametrize(("price", "position"), [(0.041, 0.25), (0.05, 1.0), (0.03, 0.0), (0.044, 1.0), (0.04, 0.0)])
def test_a_price_changes_ratio_and_position_and_no_window(price: float, position: float) -> None:
    rows = _rows(POINTS)
    changed = apply_request(rows, NAMES, now=NOW, spot_price=price)
    assert _differing(rows, changed) == {"price", "price_ratio", "range_position_7d"}
    assert _value(changed, "price") == price
    assert _value(changed, "price_ratio") == price / 0.096
    assert _value(changed, "range_position_7d") == position


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**9))
def test_a_price_counts_as_if_it_had_just_been_observed_within_the_range(micro: int) -> None:
    low, high = min(micro, 40_000), max(micro, 44_000)
    history = [(START + 40 * H, low), (START + 60 * H, high), (START + 190 * H, 42_000)]
    asked = apply_request(_rows(history), NAMES, now=NOW, spot_price=micro / 1e6)
    observed = _rows([*history, (AT, micro)])
    for name in ("price", "price_ratio", "range_position_7d", "price_min_7d", "price_max_7d"):
        assert _value(asked, name) == _value(observed, name)


@pytest.mark.parametrize(("price", "position"), [(0.04, 0.5), (0.041, 1.0), (0.039, 0.0)])
def test_the_position_beside_a_price_that_never_moved(price: float, position: float) -> None:
    changed = apply_request(_rows([(START, 40_000)]), NAMES, now=NOW, spot_price=price)
    assert _value(changed, "range_position_7d") == position


def test_a_price_for_a_pool_without_history_leaves_the_range_unknown() -> None:
    changed = apply_request(_rows([]), NAMES, now=NOW, spot_price=0.04)
    assert _value(changed, "price_ratio") == 0.04 / 0.096
    assert np.isnan(_value(changed, "range_position_7d"))


@pytest.mark.parametrize("hours", [-1000.0, -1.5, -1 / 3600, 0.0, 1.0, 100.25, 720.0])
def test_a_launch_gives_the_row_that_history_gives_for_it(hours: float) -> None:
    launch = NOW + timedelta(hours=hours)
    asked = apply_request(_rows(POINTS), NAMES, now=NOW, launch_time=launch)
    np.testing.assert_array_equal(asked, _rows(POINTS, launch))


def test_the_launch_may_be_told_in_any_time_zone() -> None:
    launch = (NOW + timedelta(hours=5)).astimezone(timezone(timedelta(hours=9)))
    asked = apply_request(_rows(POINTS), NAMES, now=NOW, launch_time=launch)
    assert _value(asked, "hour") == (NOW + timedelta(hours=5)).hour


def test_without_a_launch_the_clock_is_now() -> None:
    later = NOW + timedelta(days=1, hours=3)
    changed = apply_request(_rows(POINTS), NAMES, now=later)
    assert (_value(changed, "hour"), _value(changed, "day_of_week")) == (later.hour, later.weekday())
    assert _differing(_rows(POINTS), changed) == {"hour", "day_of_week"}


def test_one_row_and_several_rows_change_alike_and_the_given_ones_stay() -> None:
    rows = np.repeat(_rows(POINTS), 3, axis=0)
    before = rows.copy()
    many = apply_request(rows, NAMES, now=NOW, spot_price=0.05)
    np.testing.assert_array_equal(many[1], apply_request(rows[1], NAMES, now=NOW, spot_price=0.05))
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("price", [0.0, -0.1, float("nan"), float("inf")])
def test_what_is_no_price_is_refused(price: float) -> None:
    with pytest.raises(FeatureRequestInvalid) as refused:
        apply_request(_rows(POINTS), NAMES, now=NOW, spot_price=price)
    assert refused.value.field == "spot_price"


def test_a_launch_over_30_days_ahead_or_without_a_zone_is_refused() -> None:
    rows = _rows(POINTS)
    apply_request(rows, NAMES, now=NOW, launch_time=NOW + timedelta(days=30))
    for launch in (NOW + timedelta(days=30, seconds=1), NOW.replace(tzinfo=None)):
        with pytest.raises(FeatureRequestInvalid) as refused:
            apply_request(rows, NAMES, now=NOW, launch_time=launch)
        assert refused.value.field == "launch_time"


def test_a_given_price_is_no_stand_in_and_its_ratio_only_if_the_other_price_is() -> None:
    flags = np.ones((2, len(NAMES)), dtype=np.bool_)
    flags[1, NAMES.index("on_demand_price")] = False
    seen = now_observed(flags, NAMES, spot_price=0.04)
    kept = [[name for name, flag in zip(NAMES, row, strict=True) if not flag] for row in seen]
    assert kept == [["price"], ["price", "on_demand_price", "price_ratio"]]
    assert now_observed(flags, NAMES, spot_price=None).sum() == flags.sum()
