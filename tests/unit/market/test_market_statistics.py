"""The simulated prices against the figures measured on 1.3 million real records (see docs/decisions/0010)."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from gapfill.market import catalogue, process
from gapfill.market.hashing import key_of
from gapfill.market.process import Pace, Pools, Records
from gapfill.pools import LINUX

DAYS = 90
END = 1_772_625_600
START = END - DAYS * 86_400
REGION = "us-east-1"


@dataclass(frozen=True)
class Sample:
    """90 days of every second Linux pool of a region."""

    pools: Pools
    records: Records
    same: NDArray[np.bool_]  # whether record n+1 is of the pool of record n
    gaps_h: NDArray[np.float64]
    moves: NDArray[np.float64]  # relative, 0 where the price was repeated


@pytest.fixture(scope="module")
def sample() -> Sample:
    kinds = catalogue.kinds()
    places = [
        (zone, kind)
        for zone in catalogue.zones_of(REGION)
        for kind in catalogue.simulated_types()
        if catalogue.is_offered(zone, kind)
    ][::2]
    pools = Pools(
        np.array([key_of(f"11/{zone}/{kind}") for zone, kind in places], dtype=np.uint64),
        np.array([key_of(f"11/{REGION}/{kind}") for _, kind in places], dtype=np.uint64),
        np.array([catalogue.on_demand_micro(REGION, kind, LINUX) for _, kind in places], dtype=np.int64),
        np.array([kinds[kind].size_rank for _, kind in places], dtype=np.int64),
    )
    records = process.records(pools, Pace(), START, END)
    same = records.pool[1:] == records.pool[:-1]
    moves = (records.price[1:] / records.price[:-1] - 1)[same]
    return Sample(pools, records, same, np.diff(records.at)[same] / 3600, moves)


def _percentiles(values: NDArray[np.float64], *at: float) -> list[float]:
    return [float(value) for value in np.percentile(values, at)]


def test_records_per_day(sample: Sample) -> None:
    a_day = np.bincount(sample.records.pool, minlength=len(sample.pools)) / DAYS
    median, p95 = _percentiles(a_day, 50, 95)
    assert median == pytest.approx(2.3, abs=0.3)
    assert p95 == pytest.approx(4.0, abs=0.5)


def test_about_a_third_repeat_the_price_before_them_after_about_a_day(sample: Sample) -> None:
    repeated = sample.moves == 0
    assert repeated.mean() == pytest.approx(0.32, abs=0.06)
    assert _percentiles(sample.gaps_h[repeated], 50)[0] == pytest.approx(24, abs=1)


def test_a_quarter_of_the_pools_never_changes(sample: Sample) -> None:
    pool_of_move = sample.records.pool[1:][sample.same]
    changes = np.bincount(pool_of_move[sample.moves != 0], minlength=len(sample.pools))
    assert (changes == 0).mean() == pytest.approx(337 / 1241, abs=0.04)


def test_changes_are_small_with_a_long_tail_that_ends(sample: Sample) -> None:
    changes = np.abs(sample.moves[sample.moves != 0])
    median, p99 = _percentiles(changes, 50, 99)
    assert median == pytest.approx(0.0014, rel=0.25)
    assert p99 == pytest.approx(0.025, rel=0.40)
    assert 0.05 < changes.max() < 0.09


def test_spot_is_within_a_tenth_and_the_whole_of_on_demand(sample: Sample) -> None:
    ratio = sample.records.price / sample.pools.on_demand[sample.records.pool]
    assert ratio.min() >= 0.10
    assert ratio.max() <= 1.00
    assert ratio.max() - ratio.min() > 0.4


def test_silence_of_over_25_hours_is_rare_but_happens(sample: Sample) -> None:
    assert 0.0005 <= (sample.gaps_h > 25).mean() <= 0.0027


def test_the_last_price_forecasts_a_day_ahead_within_measured_errors(sample: Sample) -> None:
    instants = np.arange(START + 1, END - 86_400, 6 * 3600)
    errors = []
    for pool in range(0, len(sample.pools), 7):
        own = sample.records.pool == pool
        at, price = sample.records.at[own], sample.records.price[own]
        now = price[np.searchsorted(at, instants, side="right") - 1]
        tomorrow = price[np.searchsorted(at, instants + 86_400, side="right") - 1]
        errors.append(np.abs(now / tomorrow - 1).mean())
    assert 0.002 <= float(np.mean(errors)) <= 0.016


def test_interruptions_are_rare_differ_by_pool_and_follow_pressure(sample: Sample) -> None:
    rows, seconds = process.interruptions(sample.pools, Pace(), START, END)
    daily = np.bincount(rows, minlength=len(sample.pools)) / DAYS
    assert 0.03 < daily.mean() < 0.3
    low, high = _percentiles(daily, 10, 95)
    assert high > 5 * max(low, 0.01)
    inner = Pace().inner(seconds.astype(np.float64))
    struck = process.pressure(sample.pools.take(rows), inner[:, None])[:, 0]
    usual = process.pressure(sample.pools, np.linspace(inner.min(), inner.max(), 200)[None, :])
    assert struck.mean() > usual.mean() + 0.15


def test_price_history_tells_something_of_the_next_day(sample: Sample) -> None:
    """Pools that changed more in the last day are interrupted more in the next one: a model has something to learn."""
    rows, seconds = process.interruptions(sample.pools, Pace(), START, END)
    moved = sample.records.pool[1:][sample.same][sample.moves != 0]
    moved_at = sample.records.at[1:][sample.same][sample.moves != 0]
    shape = (len(sample.pools), DAYS)
    changes, struck = np.zeros(shape), np.zeros(shape)
    inside = moved_at >= START
    np.add.at(changes, (moved[inside], np.minimum((moved_at[inside] - START) // 86_400, DAYS - 1)), 1)
    np.add.at(struck, (rows, np.minimum((seconds - START) // 86_400, DAYS - 1)), 1)
    today, tomorrow = changes[:, :-1], struck[:, 1:] > 0
    assert tomorrow[today >= 4].mean() > 2 * tomorrow[today <= 1].mean()
