"""Live predictions on their way into the history, and the history of predictions beside what then happened."""

import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gapfill.frames import PREDICTIONS, PRICES
from gapfill.history import History
from gapfill.scope import Scope
from services.live.facts import TaskScores, score_block
from services.live.past import in_usd, predictions_with_actuals
from services.live.recent import Recent
from services.live.tracking import RegionScope
from services.live.written import LivePredictions
from services.models.version import Task
from tests.unit.live.live_blocks import NOW, POOLS, block, slots, version

POOL = POOLS[0]
HOUR = timedelta(hours=1)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history", "sim:1")


def points(*rows: tuple[datetime, int], pool: str = POOL) -> pl.DataFrame:
    return pl.DataFrame([(pool, "", at, micro) for at, micro in rows], schema=PRICES, orient="row")


def scores(price: float, at: datetime) -> TaskScores:
    return score_block(block(at=at, price=price), slots(version()))["spot_interruption"]


def test_only_what_says_something_new_is_kept(history: History) -> None:
    live = LivePredictions(history)
    told = [(0, 0.1), (5, 0.1), (10, 0.2), (15, 0.2), (31 * 60, 0.2)]  # seconds after 12:30, and past the next hour
    for seconds, price in told:
        at = NOW + timedelta(seconds=seconds)
        live.add(block(at=at, price=price), scores(price, at), made_at=at)
    assert live.write() == 3 * len(POOLS)
    assert live.write() == 0
    kept = history.predictions(Scope.of_pools([POOL]), NOW - HOUR, NOW + 2 * HOUR).sort("as_of")
    assert [(row["as_of"], row["value"]) for row in kept.iter_rows(named=True)] == [
        (NOW, 0.1),
        (NOW + timedelta(seconds=10), 0.2),
        (NOW + timedelta(minutes=31), 0.2),
    ]
    assert (kept["target_at"] - kept["as_of"]).unique().to_list() == [timedelta(hours=6)]
    assert kept["origin"].unique().to_list() == ["live"]


def test_an_unknown_prediction_is_not_kept(history: History) -> None:
    live = LivePredictions(history)
    blind = block()
    blind.matrix[:, 0] = np.nan
    live.add(blind, score_block(blind, slots(version()))["spot_interruption"], made_at=NOW)
    assert live.write() == 0


def predicted(task: Task, as_of: datetime, target_at: datetime, value: float = 0.5) -> tuple[object, ...]:
    return (f"m:{task}", task, POOL, as_of, target_at, as_of, "gap", value, 1.0, [])


def test_actuals_are_the_prices_that_held_at_the_target(history: History) -> None:
    history.append_prices(points((NOW - 9 * HOUR, 30_100), (NOW - 5 * HOUR, 37_900), (NOW - HOUR, 40_000)))
    asked = [
        predicted("spot_price", NOW - 6 * HOUR, NOW - 5 * HOUR),  # a change exactly then counts
        predicted("spot_price", NOW - 4 * HOUR, NOW - 2 * HOUR),
        predicted("spot_price", NOW - 3 * HOUR, NOW + HOUR),
        predicted("spot_interruption", NOW - 6 * HOUR, NOW - 5 * HOUR),
        predicted("spot_interruption", NOW - 3 * HOUR, NOW + HOUR),
    ]
    history.append_predictions(pl.DataFrame(asked, schema=PREDICTIONS, orient="row"))
    found = predictions_with_actuals(history, Scope(), NOW - 10 * HOUR, NOW, NOW, limit=100)
    told = {(r["task"], r["as_of"]): (r["price"], r["actual"], r["actual_status"]) for r in found.to_dicts()}
    assert told == {
        ("spot_price", NOW - 6 * HOUR): (0.0301, 0.0379, "observed"),
        ("spot_price", NOW - 4 * HOUR): (0.0379, 0.0379, "observed"),
        ("spot_price", NOW - 3 * HOUR): (0.0379, None, "awaiting_actuals"),
        ("spot_interruption", NOW - 6 * HOUR): (0.0301, None, "unknown"),
        ("spot_interruption", NOW - 3 * HOUR): (0.0379, None, "awaiting_actuals"),
    }
    newest = predictions_with_actuals(history, Scope(), NOW - 10 * HOUR, NOW, NOW, limit=2)
    assert newest["as_of"].unique().to_list() == [NOW - 3 * HOUR]
    assert predictions_with_actuals(history, Scope(), NOW, NOW + HOUR, NOW, limit=2).is_empty()


def test_where_no_price_is_known_nothing_is_claimed(history: History) -> None:
    history.append_predictions(
        pl.DataFrame([predicted("spot_price", NOW - 6 * HOUR, NOW - 5 * HOUR)], schema=PREDICTIONS, orient="row")
    )
    (row,) = predictions_with_actuals(history, Scope(), NOW - 10 * HOUR, NOW, NOW, limit=9).to_dicts()
    assert (row["price"], row["actual"], row["actual_status"]) == (None, None, "unknown")


def test_micro_dollars_become_the_dollars_that_a_person_would_write() -> None:
    micro = [37_900, 42_000, 28_300, 1, 99_999_999]
    usd = in_usd(points(*[(NOW + n * HOUR, price) for n, price in enumerate(micro)]))["usd"]
    assert usd.to_list() == [0.0379, 0.042, 0.0283, 0.000001, 99.999999]


# Recent prices

SCOPE = RegionScope("eu-west-1", ("c5.large",), ("Linux/UNIX",))


def test_recent_prices_are_those_of_the_longest_window_and_the_ones_before(history: History) -> None:
    ages = [24 * 10, 24 * 8, 24 * 6, 1]
    history.append_prices(points(*[(NOW - age * HOUR, 1000 + age) for age in ages]))
    history.append_prices(points((NOW - HOUR, 5), pool=POOLS[1]))
    recent = Recent(history)
    assert recent.refresh([SCOPE], NOW) is True
    assert recent.points["at"].sort().to_list() == [NOW - age * HOUR for age in ages[1:]]
    assert recent.points["pool_id"].unique().to_list() == [POOL]
    assert recent.refresh([SCOPE], NOW) is False


def test_live_prices_are_taken_in_once_and_old_ones_let_go(history: History) -> None:
    recent = Recent(history)
    recent.refresh([SCOPE], NOW)
    fresh = points((NOW - HOUR, 1), (NOW, 2))
    for _ in range(2):
        recent.add(fresh, NOW)
    assert recent.points.height == 2
    recent.add(points((NOW + 24 * 9 * HOUR, 3)), NOW + 24 * 9 * HOUR)
    assert recent.points["price_micro_usd"].to_list() == [2, 3], "the last one before the window still holds"


def test_what_a_fill_adds_is_read_soon(history: History) -> None:
    recent = Recent(history)
    recent.refresh([SCOPE], NOW)
    history.append_prices(points((NOW - HOUR, 7)))
    deadline = time.monotonic() + 20
    while not recent.refresh([SCOPE], NOW):  # reading takes but a share of the time
        assert time.monotonic() < deadline
    assert recent.points["price_micro_usd"].to_list() == [7]
