"""Coverage: every hour of the window is observed, carried in, imputed or unfillable, and says why."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapfill.frames import PRICES
from gapfill.gaps import BEFORE_FIRST, TOO_OLD, coverage, holes

T0 = datetime(2026, 1, 5, tzinfo=UTC)
END = T0 + timedelta(hours=100)


def points(**pools: Sequence[float]) -> pl.DataFrame:
    rows = [
        (f"r-1/r-1a/{name}/Linux/UNIX", "z", T0 + timedelta(hours=h), 100) for name, ages in pools.items() for h in ages
    ]
    return pl.DataFrame(rows, schema=PRICES, orient="row")


def hours(frame: pl.DataFrame) -> tuple[float, float, float, float]:
    row = frame.row(0, named=True)
    return row["observed_hours"], row["carried_in_hours"], row["imputed_hours"], row["unfillable_hours"]


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ([0, 24, 48, 72, 96], (100, 0, 0, 0)),
        ([-10, 20, 40, 60, 80], (80, 15, 5, 0)),
        ([-30, 20, 40, 60, 80], (80, 0, 20, 0)),
        ([-1], (0, 24, 76, 0)),
        ([10, 20, 90], (45, 0, 45, 10)),
    ],
)
def test_each_hour_has_one_kind(ages: list[float], expected: tuple[float, float, float, float]) -> None:
    assert hours(coverage(points(a=ages), T0, END)) == pytest.approx(expected)


@given(st.lists(st.floats(-200, 99.9), min_size=1, max_size=30))
def test_the_kinds_add_up_to_the_window(ages: list[float]) -> None:
    carry_in = [max(h for h in ages if h < 0)] if any(h < 0 for h in ages) else []
    frame = coverage(points(a=carry_in + sorted({h for h in ages if h >= 0})), T0, END)
    assert sum(hours(frame)) == pytest.approx(100, abs=1e-6)
    assert min(hours(frame)) >= 0


def test_what_cannot_be_filled_says_why() -> None:
    frame = coverage(points(a=[10], b=[-1]), T0, END)
    assert frame["reason"].to_list() == [BEFORE_FIRST, ""]
    kept = coverage(points(a=[60]), T0, END, kept_from=T0 + timedelta(hours=50))
    assert kept["reason"].to_list() == [TOO_OLD]


def test_nothing_known_is_no_row() -> None:
    assert coverage(points(), T0, END).is_empty()
    assert holes(points(), T0, END) == []


def test_a_hole_is_where_half_the_pools_are_silent_at_once() -> None:
    heard = list(range(0, 100, 5))
    gone = [h for h in heard if not 30 < h < 80]
    found = holes(points(a=gone, b=gone, c=heard, d=heard), T0, END)
    assert [(hole.region, hole.start, hole.end, hole.hours) for hole in found] == [
        ("r-1", T0 + timedelta(hours=30), T0 + timedelta(hours=80), 50)
    ]
    assert holes(points(a=gone, b=heard, c=heard), T0, END) == []


def test_silence_up_to_the_end_is_a_hole() -> None:
    found = holes(points(a=[0, 20], b=[0, 10, 25]), T0, END)
    assert [(hole.start, hole.end) for hole in found] == [(T0 + timedelta(hours=20), END)]
