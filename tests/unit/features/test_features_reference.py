"""Every price feature against a slow reference, and what must not change a row: later data, batches, heartbeats."""

import math
import random
from itertools import product

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from gapfill.features import compute
from gapfill.features.registry import LONGEST_WINDOW, NAMES
from tests.unit.features import feature_frames as frames
from tests.unit.features import feature_reference as reference
from tests.unit.features.feature_frames import POOL, START
from tests.unit.features.feature_reference import Points

WEEK = int(LONGEST_WINDOW.total_seconds())
SPAN_H = 400
# Whole hours meet the windows' edges, other seconds do not; few prices repeat, many do not.
instants = st.one_of(st.integers(0, SPAN_H).map(lambda hour: hour * 3600), st.integers(0, SPAN_H * 3600))
prices = st.one_of(st.sampled_from([30_000, 31_000]), st.integers(1, 2_000_000_000))
histories = st.dictionaries(instants.map(lambda second: START + second), prices, min_size=1, max_size=25).map(
    lambda points: sorted(points.items())
)
hours = st.lists(st.integers(0, SPAN_H + 30).map(lambda hour: START + hour * 3600), min_size=1, max_size=8)


# A call costs the same for one pool as for many: examples bring several.
worlds = st.lists(histories, min_size=1, max_size=12).map(
    lambda every: {f"{POOL}{number}": points for number, points in enumerate(every)}
)


@settings(max_examples=60, deadline=None)
@given(worlds, hours)
def test_price_features_equal_the_reference(world: dict[str, Points], wanted: list[int]) -> None:
    rows = frames.rows_of(world, [(pool, at) for pool in world for at in wanted])
    for row, (pool, at) in zip(rows.iter_rows(named=True), product(world, wanted), strict=True):
        for name, value in reference.price_features(world[pool], at).items():
            if value is None:
                assert row[name] is None
            else:
                assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-12), (name, at)


@settings(max_examples=40, deadline=None)
@given(worlds, hours)
def test_imputed_names_the_features_whose_window_was_not_covered(world: dict[str, Points], wanted: list[int]) -> None:
    rows = frames.rows_of(world, [(pool, at) for pool in world for at in wanted])
    for row, (pool, at) in zip(rows.iter_rows(named=True), product(world, wanted), strict=True):
        before = [point for point in world[pool] if point[0] <= at]
        for name in NAMES:
            tag = "7d" if name == "hours_since_change" else name.rpartition("_")[2]
            if tag in reference.WINDOWS:
                begin = at - reference.WINDOWS[tag]
                expected = not before or reference.is_partial(before, begin, at)
                assert (name in row["imputed"]) == expected, (name, at)


@settings(max_examples=30, deadline=None)
@given(worlds, histories, hours)
def test_later_points_change_nothing(world: dict[str, Points], later: Points, wanted: list[int]) -> None:
    last = max(wanted)
    known = {pool: [point for point in points if point[0] <= last] for pool, points in world.items()}
    future = [(last + 1 + at - START, price) for at, price in later]
    asked = [(pool, at) for pool in world for at in wanted]
    more = {pool: points + future for pool, points in known.items()}
    assert_frame_equal(frames.rows_of(known, asked), frames.rows_of(more, asked), check_exact=True)


@settings(max_examples=40, deadline=None)
@given(histories, hours)
def test_a_whole_history_and_its_last_week_give_the_same_row(points: Points, wanted: list[int]) -> None:
    fill = frames.rows_of({POOL: points}, [(POOL, at) for at in wanted])
    weeks = {}
    for index, at in enumerate(wanted):
        before = [point for point in points if point[0] < at - WEEK]
        weeks[f"{POOL}{index}"] = before[-1:] + [point for point in points if at - WEEK <= point[0] <= at]
    tick = frames.rows_of(weeks, list(zip(weeks, wanted, strict=True)))
    assert_frame_equal(tick.drop("pool_id"), fill.drop("pool_id"), check_exact=True)


@settings(max_examples=10, deadline=None)
@given(worlds, hours, st.integers(0, 99))
def test_a_row_depends_on_its_own_pool_only(world: dict[str, Points], wanted: list[int], seed: int) -> None:
    asked = [(pool, at) for at in wanted for pool in world]
    random.Random(seed).shuffle(asked)
    rows = frames.rows_of(world, asked)
    assert rows["pool_id"].to_list() == [pool for pool, _ in asked]
    for pool, points in world.items():
        alone = frames.rows_of({pool: points}, [one for one in asked if one[0] == pool])
        assert_frame_equal(alone, rows.filter(pl.col("pool_id") == pool), check_exact=True)


@settings(max_examples=30, deadline=None)
@given(worlds, hours, st.integers(1, 3600))
def test_heartbeats_change_nothing_but_observed_at(world: dict[str, Points], wanted: list[int], after: int) -> None:
    asked = [(pool, at) for pool in world for at in wanted]
    quiet = frames.rows_of(world, asked)
    beating = frames.rows_of({pool: _with_heartbeats(points, after) for pool, points in world.items()}, asked)
    assert_frame_equal(quiet.select(NAMES), beating.select(NAMES), check_exact=True)


def _with_heartbeats(points: Points, after: int) -> Points:
    """The points, each repeated `after` seconds later unless another has come since."""
    beats = [(at + after, price) for at, price in points]
    return sorted({*points, *(beat for beat in beats if reference.price_at(points, beat[0]) == beat[1])})


@settings(max_examples=20, deadline=None)
@given(histories, hours)
def test_duplicates_and_order_are_harmless(points: Points, wanted: list[int]) -> None:
    once = frames.prices({POOL: points})
    asked = frames.asks([(POOL, at) for at in wanted])
    shuffled = pl.concat([once, once.reverse()]).sample(fraction=1.0, shuffle=True, seed=1)
    no_tables = (frames.on_demand(), frames.types())
    assert_frame_equal(compute(once, asked, *no_tables), compute(shuffled, asked, *no_tables))


def test_a_constant_price_has_no_deviation_however_high_and_long() -> None:
    points = [(START + hour * 3600 + 7, 1_999_999_999) for hour in range(0, 4_000, 23)]
    row = frames.rows_of({POOL: points}, [(POOL, points[-1][0] + 3600)]).row(0, named=True)
    assert [row[f"price_std_{tag}"] for tag in ("1h", "24h", "7d")] == [0.0, 0.0, 0.0]
    assert row["price_mean_7d"] == 1999.999999


def test_a_tiny_deviation_beside_a_high_price_survives() -> None:
    points = [(START, 900_000_000), (START + 84 * 3600, 900_000_001)]
    row = frames.rows_of({POOL: points}, [(POOL, START + 168 * 3600)]).row(0, named=True)
    assert row["price_std_7d"] == pytest.approx(0.5e-6, rel=1e-12)
    assert math.isclose(row["price_mean_7d"], 900.0000005, rel_tol=1e-15)
