"""What a fill pulls, stores and predicts, and what is asked for next time."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from gapfill.errors import (
    GapUnknown,
)
from gapfill.filler import Watched
from gapfill.limits import FillLimits
from gapfill.pools import LINUX
from gapfill.requests import FillRequest
from gapfill.scope import Scope
from tests.fake_predictor import model
from tests.unit.gapfill.filler_world import GAP_START, NOW, REGIONS, TYPES, World, all_points, build, expected_records


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    built = build(tmp_path)
    yield built
    built.store.close()


def test_a_fill_pulls_the_window_and_one_carry_in_per_pool(world: World) -> None:
    job = world.filler.submit(requested_by="alice")
    assert (job.task_id, job.status, job.percent_complete) == ("gap-fill-1", "in_progress", 0)
    world.run()
    done = world.filler.status(job.task_id)
    assert (done.status, done.percent_complete, done.eta_seconds) == ("completed", 100, None)
    # The point of this very instant lies at the end, which is not part of the window.
    assert done.records_filled == done.records_new == world.history.prices().height == expected_records(12)
    assert (done.shards_total, done.shards_done) == (12, 12)
    assert done.requested_by == "alice"
    assert world.history.on_demand().height == 6
    assert world.history.instance_types()["instance_type"].to_list() == sorted(TYPES)


def test_each_pool_is_predicted_for_each_hour_of_the_gap(world: World) -> None:
    job = world.filler.submit()
    world.run()
    made = world.history.predictions()
    hours = [GAP_START + timedelta(hours=h) for h in range(9 * 24 + 13)]
    assert hours[-1] == NOW.replace(minute=0, second=0)
    per_pool = made.group_by("pool_id").agg(pl.col("as_of").sort())
    assert per_pool.height == 12
    assert all(as_of == hours for as_of in per_pool["as_of"].to_list())
    assert set(made["origin"]) == {"gap"}
    assert world.filler.status(job.task_id).predictions_made == made.height
    # The price that held then, and the on-demand price that was seen first: nothing is imputed but that.
    row = made.filter(pl.col("as_of") == hours[5]).row(0, named=True)
    points = world.history.prices(Scope.of_pools([row["pool_id"]]), end=hours[5] + timedelta(microseconds=1))
    assert row["value"] == pytest.approx(points["price_micro_usd"][-1] / 1e6)
    assert "price" not in row["imputed"]
    assert "price_mean_7d" not in row["imputed"]


def test_a_second_fill_stores_nothing_twice_and_pulls_what_is_new(world: World) -> None:
    world.filler.submit()
    world.run()
    before = world.history.prices().height
    world.now[0] += timedelta(hours=1)
    again = world.filler.submit()
    world.run()
    done = world.filler.status(again.task_id)
    # The points of NOW itself are in the window now.
    assert done.records_new == 12 == world.history.prices().height - before
    assert done.records_filled == expected_records(12) + 12
    assert world.history.prices().select("pool_id", "at").is_unique().all()
    assert world.history.predictions().select("pool_id", "as_of").is_unique().all()
    assert world.history.predictions()["as_of"].max() == world.now[0].replace(minute=0, second=0)


def test_ensure_filled_asks_only_for_what_is_missing(world: World) -> None:
    first = world.filler.ensure_filled()
    assert first is not None
    world.run()
    assert world.history.prices().height == expected_records(12)
    world.market.asked.clear()
    world.now[0] += timedelta(days=3)
    later = world.filler.ensure_filled()
    assert later is not None
    world.run()
    assert world.filler.status(later.task_id).status == "completed"
    assert {start for _, _, start, _ in world.market.asked} == {NOW.replace(microsecond=0) - timedelta(hours=1)}
    assert world.history.predictions()["as_of"].max() == world.now[0].replace(minute=0, second=0)


def test_what_was_watched_live_need_not_be_pulled(world: World) -> None:
    world.filler.ensure_filled()
    world.run()
    end = NOW.replace(microsecond=0)
    world.now[0] += timedelta(days=2)
    live = [Watched(region, TYPES, (LINUX,), end, world.now[0]) for region in REGIONS]
    stored = world.filler.ingest(all_points().filter(pl.col("at") == NOW), live)
    assert stored.stored == 12
    world.market.asked.clear()
    world.filler.ensure_filled()
    world.run()
    assert {start for _, _, start, _ in world.market.asked} == {world.now[0] - timedelta(hours=1)}


def test_without_a_model_there_is_no_gap_unless_a_date_is_given(world: World) -> None:
    world.predictor.active.clear()
    assert world.filler.ensure_filled() is None
    assert world.filler.predict_gaps() is None
    with pytest.raises(GapUnknown):
        world.filler.submit()
    job = world.filler.submit(FillRequest(trained_until=date(2026, 3, 21)))
    world.run()
    assert world.filler.status(job.task_id).records_filled == expected_records(12)
    assert world.history.predictions().is_empty()


def test_a_model_activated_later_gets_its_predictions_without_a_pull(world: World) -> None:
    world.filler.submit()
    world.run()
    world.market.asked.clear()
    world.predictor.active.append(model(datetime(2026, 3, 30, tzinfo=UTC), "late:v1", "spot_interruption"))
    job = world.filler.predict_gaps()
    assert job is not None
    world.run()
    assert world.market.asked == []
    assert world.history.predictions(model_id="late:v1").height == 12 * 37
    assert world.history.predictions(model_id="stays:v1").height == 12 * (9 * 24 + 13)


def test_defaults_that_the_market_does_not_have_are_left_out(tmp_path: Path) -> None:
    world = build(tmp_path, FillLimits(("eu-west-1", "mars-north-1"), ("m5.large", "z9.huge")))
    job = world.filler.ensure_filled()
    assert job is not None
    assert (job.regions, job.instance_types) == (("eu-west-1",), ("m5.large",))
    world.run()
    assert world.filler.status(job.task_id).status == "completed"
    world.store.close()
    nothing = build(tmp_path, FillLimits(("mars-north-1",), ("m5.large",)))
    assert nothing.filler.ensure_filled() is None
    nothing.store.close()


def test_a_model_of_today_has_no_gap_but_needs_the_history_before_it(world: World) -> None:
    world.predictor.active = [model(datetime(2026, 4, 1, tzinfo=UTC))]
    job = world.filler.ensure_filled()
    assert job is not None
    world.run()
    done = world.filler.status(job.task_id)
    assert (done.status, done.history_start) == ("completed", NOW - timedelta(days=7))
    assert done.records_filled == 12 * 17
    assert world.history.predictions().is_empty()
    assert world.filler.analyze().gap_days == 0
