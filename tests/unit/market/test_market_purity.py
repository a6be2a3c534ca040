"""Prices are a function of seed, pool and instant: windows agree, restarts agree, lively markets keep their past."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapfill.market.errors import OptionsInvalid, StateMismatch
from gapfill.market.process import Pace
from gapfill.market.server import MarketOptions, build_source
from gapfill.market.simulate import SimulatedMarket
from gapfill.market.source import PriceRecords, Wanted
from gapfill.pools import LINUX
from tests.unit.market.market_clients import NOON, SetClock, every_record, serving

NOW = int(NOON.timestamp())
DAY = 86_400
TYPES = ("m5.large", "c5.2xlarge", "r5.4xlarge", "t3.micro")
EVERY = Wanted(products=frozenset({LINUX}))


def _rows(records: PriceRecords) -> set[tuple[str, int, int]]:
    ids = [pool.pool_id for pool in records.pools]
    return {
        (ids[row], at, price)
        for row, at, price in zip(records.row.tolist(), records.at.tolist(), records.price.tolist(), strict=True)
    }


def _between(rows: Iterable[tuple[str, int, int]], start: int, end: int) -> set[tuple[str, int, int]]:
    return {row for row in rows if start <= row[1] <= end}


@pytest.fixture(scope="module", params=[1.0, 40.0], ids=["calm", "lively"])
def source(request: pytest.FixtureRequest) -> SimulatedMarket:
    pace = Pace(((NOW - 3 * DAY, request.param),)) if request.param > 1 else Pace()
    return SimulatedMarket(3, ["us-east-1"], TYPES, pace)


@settings(deadline=None, max_examples=40)
@given(start=st.integers(0, 60 * DAY), length=st.integers(0, 9 * DAY))
def test_a_window_alone_equals_the_window_cut_from_a_larger_one(
    source: SimulatedMarket, start: int, length: int
) -> None:
    since, until = NOW - start, min(NOW, NOW - start + length)
    alone = _rows(source.records("us-east-1", EVERY, since, until))
    larger = _rows(source.records("us-east-1", EVERY, NOW - 70 * DAY, NOW))
    assert _between(alone, since, until) == _between(larger, since, until)
    carried = {pool: (at, price) for pool, at, price in sorted(alone) if at < since}
    expected = {pool: (at, price) for pool, at, price in sorted(larger) if at < since}
    assert carried == expected


def test_interruptions_of_a_window_are_those_of_a_larger_one(source: SimulatedMarket) -> None:
    whole = source.interruptions("us-east-1", NOW - 60 * DAY, NOW)
    part = source.interruptions("us-east-1", NOW - 20 * DAY, NOW - 9 * DAY)
    assert len(part) > 3
    assert part == [one for one in whole if NOW - 20 * DAY <= one.at.timestamp() <= NOW - 9 * DAY]


def test_two_servers_with_one_seed_say_the_same_and_another_seed_says_other() -> None:
    answers = []
    for seed in (5, 5, 6):
        with serving(SimulatedMarket(seed, ["eu-west-1"], TYPES)) as market:
            asked = {"StartTime": NOON - timedelta(days=4), "ProductDescriptions": [LINUX]}
            answers.append(every_record(market.client("ec2", "eu-west-1"), **asked))
    assert answers[0] == answers[1]
    assert answers[0] != answers[2]


def test_a_pool_does_not_depend_on_its_company() -> None:
    alone = SimulatedMarket(5, ["eu-west-1"], ["m5.large"], zones=["eu-west-1b"])
    crowd = SimulatedMarket(5)
    wanted = Wanted(frozenset({"m5.large"}), frozenset({LINUX}), frozenset({"eu-west-1b"}))
    window = ("eu-west-1", wanted, NOW - 9 * DAY, NOW)
    assert len(alone.offered("eu-west-1")) == 1
    assert _rows(alone.records(*window)) == _rows(crowd.records(*window))


def test_live_activity_multiplies_what_comes_and_leaves_what_was() -> None:
    live_from = NOW - 2 * DAY
    calm = SimulatedMarket(3, ["us-east-1"], TYPES)
    lively = SimulatedMarket(3, ["us-east-1"], TYPES, Pace(((live_from, 50.0),)))
    before = ("us-east-1", EVERY, NOW - 20 * DAY, live_from - 1)
    assert _rows(calm.records(*before)) == _rows(lively.records(*before))
    assert calm.interruptions("us-east-1", NOW - 20 * DAY, live_from - 1) == lively.interruptions(
        "us-east-1", NOW - 20 * DAY, live_from - 1
    )
    usual = _changes(calm.records("us-east-1", EVERY, NOW - 80 * DAY, NOW)) / 80
    assert _changes(lively.records("us-east-1", EVERY, live_from, NOW)) / 2 == pytest.approx(50 * usual, rel=0.25)
    usual = len(calm.interruptions("us-east-1", NOW - 80 * DAY, NOW)) / 80
    assert len(lively.interruptions("us-east-1", live_from, NOW)) / 2 == pytest.approx(50 * usual, rel=0.4)


def test_the_path_is_continuous_where_it_becomes_lively() -> None:
    live_from = NOW - 2 * DAY
    lively = SimulatedMarket(3, ["us-east-1"], TYPES, Pace(((live_from, 50.0),)))
    records = lively.records("us-east-1", EVERY, NOW - 9 * DAY, NOW)
    same = records.row[1:] == records.row[:-1]
    moves = np.abs(records.price[1:] / records.price[:-1] - 1)[same]
    assert moves.max() < 0.09


def _changes(records: PriceRecords) -> int:
    same = records.row[1:] == records.row[:-1]
    return int(np.count_nonzero(np.diff(records.price)[same]))


@given(st.floats(1.0, 500.0), st.integers(0, 400 * DAY))
def test_pace_and_its_inverse_agree(factor: float, ahead: int) -> None:
    pace = Pace(((NOW, factor), (NOW + 30 * DAY, 2 * factor)))
    seconds = np.array([float(NOW - 100 * DAY + ahead)])
    assert pace.clock(pace.inner(seconds))[0] == pytest.approx(seconds[0], abs=0.01)


def test_a_restart_contradicts_nothing(tmp_path: Path) -> None:
    clock = SetClock()
    options = MarketOptions(
        seed=9, regions=("us-east-1",), instance_types=TYPES, live_activity=200, state=tmp_path / "market"
    )
    first, _ = build_source(options, clock)
    clock.advance(timedelta(hours=5))
    window = ("us-east-1", EVERY, NOW - 9 * DAY, int(clock.now.timestamp()))
    told = _rows(first.records(*window))
    again, _ = build_source(options, clock)
    assert _rows(again.records(*window)) == told
    slower, _ = build_source(
        MarketOptions(seed=9, regions=("us-east-1",), instance_types=TYPES, state=tmp_path / "market"), clock
    )
    assert _rows(slower.records(*window)) == told
    assert again.identity()["live_from"] == (NOON + timedelta(seconds=1)).isoformat()


def test_a_state_folder_belongs_to_one_market(tmp_path: Path) -> None:
    build_source(MarketOptions(seed=1, state=tmp_path))
    with pytest.raises(StateMismatch, match="sim:1"):
        build_source(MarketOptions(seed=2, state=tmp_path))


def test_the_whole_catalogue_is_a_world_of_today() -> None:
    world = SimulatedMarket(7)
    offered = {(region, *place) for region in world.regions() for place in world.offered(region)}
    assert len(offered) >= 39_000
    priced = set()
    for region in world.regions():
        records = world.records(region, EVERY, NOW, NOW)
        assert records.price.min() > 0
        priced |= {
            (pool.region, pool.zone, pool.instance_type)
            for pool in (records.pools[row] for row in set(records.row.tolist()))
        }
    assert priced == offered


@pytest.mark.parametrize(
    "options",
    [
        MarketOptions(regions=("us-east-9",)),
        MarketOptions(instance_types=("m5.nosuch",)),
        MarketOptions(zones=("us-east-1z",)),
        MarketOptions(live_activity=0.5),
    ],
)
def test_wrong_options_are_refused_by_name(options: MarketOptions) -> None:
    with pytest.raises(OptionsInvalid):
        build_source(options)
