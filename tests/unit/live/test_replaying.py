"""The past for a replay: from the server's own history, and from the real files of sa-east-1 and the real traces."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engines.catalogue import Catalogue
from engines.replay.advisor import Advice, Advisor
from engines.replay.comparing import compare
from engines.replay.entrants import entered
from engines.replay.errors import WindowEmpty
from engines.replay.playing import play
from engines.replay.workload import GPU
from gapfill.frames import INSTANCE_TYPES, INSTANT, ON_DEMAND, PREDICTIONS, PRICES
from gapfill.history import History
from gapfill.scope import Scope
from services.live.replay_history import history_world
from services.live.replaying import Files, replay_files, worlds_of_files

REAL_DATA = Path(os.environ.get("CLOUDOPTIM_REAL_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
START = datetime(2026, 3, 2, tzinfo=UTC)
POOL = "us-east-1/us-east-1a/m5.large/Linux/UNIX"
ANYWHERE = Scope()


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


def history(folder: Path, stored_at: datetime = START) -> History:
    """One pool whose price changes at hours -1, 2 and 4; prices are stored at `stored_at`."""
    made = History(folder, "sim:1", clock=lambda: stored_at)
    points = [(-1, 30_000), (2, 40_000), (4, 50_000)]
    made.append_prices(pl.DataFrame([(POOL, "", hours(h), micro) for h, micro in points], schema=PRICES, orient="row"))
    listed = [("us-east-1", "m5.large", "Linux/UNIX", START, 96_000)]
    made.append_on_demand(pl.DataFrame(listed, schema=ON_DEMAND, orient="row"))
    made.append_instance_types(pl.DataFrame([("m5.large", 2, 8192, "x86_64", 0)], schema=INSTANCE_TYPES, orient="row"))
    return made


def predictions(*rows: tuple[str, float, str, float]) -> pl.DataFrame:
    """(model, hour, origin, value) with a horizon of a day."""
    return pl.DataFrame(
        [
            (model, "spot_interruption", POOL, hours(h), hours(h + 24), hours(h), origin, value, 0.7, [])
            for model, h, origin, value in rows
        ],
        schema=PREDICTIONS,
        orient="row",
    )


def test_prices_and_predictions_are_those_of_then(tmp_path: Path) -> None:
    made = history(tmp_path)
    made.append_predictions(
        predictions(("m:1", 0, "gap", 0.2), ("m:1", 3, "live", 0.4), ("m:1", 3, "served", 0.9), ("m:2", 1, "gap", 0.8))
    )
    past = history_world(made, ANYWHERE, START, hours(6))
    assert past.price[:, 0].tolist() == [0.03, 0.03, 0.04, 0.04, 0.05, 0.05]
    assert past.probability[:, 0].tolist() == [0.2, 0.2, 0.2, 0.4, 0.4, 0.4]
    assert past.confidence[0, 0] == 0.7
    assert past.horizon_hours == 24
    assert past.predicted_by == "m:1, origin gap and live"
    assert past.hazard[0] == pytest.approx(np.mean(-np.log1p([-0.2] * 3 + [-0.4] * 3)) / 24)


def test_as_ingested_a_price_counts_from_when_it_was_stored(tmp_path: Path) -> None:
    made = history(tmp_path, stored_at=hours(3))
    made.append_predictions(predictions(("m:1", 0, "gap", 0.2)))
    past = history_world(made, ANYWHERE, START, hours(6), as_ingested=True)
    assert np.isnan(past.price[:3, 0]).all()
    assert past.price[3:, 0].tolist() == [0.04, 0.05, 0.05]


def test_without_predictions_the_advisor_s_buckets_are_taken_or_nothing(tmp_path: Path) -> None:
    made = history(tmp_path)
    with pytest.raises(WindowEmpty):
        history_world(made, ANYWHERE, START, hours(6))
    advisor = Advisor({("us-east-1", "Linux", "m5.large"): Advice(1, 0.001, 0.5)})
    past = history_world(made, ANYWHERE, START, hours(6), advisor=advisor)
    assert past.predicted_by == "the advisor's buckets"
    assert past.probability[0, 0] == pytest.approx(-np.expm1(-0.001))


def test_a_window_without_prices_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(WindowEmpty):
        history_world(history(tmp_path), ANYWHERE, hours(100), hours(101))
    assert pl.Datetime("us", "UTC") == INSTANT


real = pytest.mark.skipif(not REAL_DATA.exists(), reason=f"no real data at {REAL_DATA}")


@real
@pytest.mark.realdata
def test_on_real_prices_it_costs_less_than_on_demand_and_no_more_than_the_naive_engine(tmp_path: Path) -> None:
    files = Files.beneath(REAL_DATA).only("prices")
    end = datetime(2020, 1, 8, tzinfo=UTC)
    found = list(replay_files(files, Catalogue(tmp_path), ["spot_optimizer_v1"], end=end))
    assert [one.interruption_node_hours for one in found] == [0.5, 0.1, 2.0]
    for one in found:
        mine = next(standing for standing in one.standings if standing.engine_id == "spot_optimizer_v1")
        assert mine.against["on_demand_only"].value < 1
        assert mine.against["cheapest_pool"].value <= 1
        assert mine.bill.violations == mine.bill.failures == mine.bill.unmet_hours == 0


@real
@pytest.mark.realdata
def test_real_traces_interrupt_and_it_still_costs_less_than_on_demand(tmp_path: Path) -> None:
    worlds = worlds_of_files(Files.beneath(REAL_DATA).only("traces"))
    assert [(w.name.split("_")[0], len(w.places), w.ticks) for w in worlds] == [
        ("availability", 9, 20_158),
        ("preemption", 4, 19_961),
    ]
    for past in worlds:
        assert past.available is not None
        day = round(12 / past.tick_hours)
        short = replace(
            past,
            price=past.price[:day],
            probability=past.probability[:day],
            confidence=past.confidence[:day],
            available=past.available[:day],
        )
        with entered(Catalogue(tmp_path), ["spot_optimizer_v1"]) as entrants:
            bill = play(short, GPU, entrants["spot_optimizer_v1"].at(0.5), 0.5)
            found = next(iter(compare(short, [GPU], {"on_demand_only": entrants["on_demand_only"]}, (0.5,))))
        assert bill.interruptions > 0
        assert bill.unmet_hours == 0
        assert found.omniscient_usd < bill.total_usd < found.standings[0].bill.total_usd
