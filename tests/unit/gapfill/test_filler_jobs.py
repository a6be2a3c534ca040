"""How fills fail, stop, resume and are cancelled, and what is refused."""

import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from gapfill.errors import (
    FillRequestInvalid,
    JobFinished,
    JobNotFound,
    MarketAccessDenied,
    MarketUnavailable,
    StaleWriter,
    UnknownPlace,
)
from gapfill.filler import GapFiller
from gapfill.limits import FillLimits
from gapfill.requests import FillRequest
from gapfill.scope import Scope
from tests.fake_predictor import model
from tests.unit.gapfill.filler_world import (
    LIMITS,
    NOW,
    REGIONS,
    TYPES,
    World,
    all_points,
    build,
    expected_records,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    built = build(tmp_path)
    yield built
    built.store.close()


def test_a_failing_region_fails_its_shards_and_no_others(world: World) -> None:
    world.market.failing["us-east-1"] = [MarketAccessDenied("us-east-1", "not allowed")]
    job = world.filler.submit()
    world.run()
    done = world.filler.status(job.task_id)
    assert done.status == "failed"
    assert "us-east-1" in done.reason
    assert done.percent_complete < 100
    by_region = {
        s.region: {x.state for x in world.filler.shards(job.task_id) if x.region == s.region}
        for s in world.filler.shards(job.task_id)
    }
    assert by_region["eu-west-1"] == {"done"}
    assert "failed" in by_region["us-east-1"]
    assert [(e.region, e.kind, e.detail) for e in done.errors] == [("us-east-1", "MarketAccessDenied", "not allowed")]
    assert world.history.prices(Scope(regions=("eu-west-1",))).height == expected_records(6)


def test_a_region_that_is_down_is_given_up_before_every_shard_was_tried(tmp_path: Path) -> None:
    world = build(tmp_path, FillLimits(REGIONS, TYPES, types_per_shard=1, days_per_shard=1, threads_per_region=2))
    world.market.failing["us-east-1"] = [MarketUnavailable("us-east-1", "cut off")] * 1000
    job = world.filler.submit()
    world.run()
    done = world.filler.status(job.task_id)
    asked = [region for region, *_ in world.market.asked if region == "us-east-1"]
    assert (done.shards_done, done.shards_failed, done.shards_total) == (51, 51, 102)
    assert len(asked) <= 14
    world.store.close()


def test_a_failed_fill_is_taken_up_where_it_failed(world: World) -> None:
    world.market.failing["us-east-1"] = [MarketUnavailable("us-east-1", "cut off")] * 100
    job = world.filler.submit()
    world.run()
    assert world.filler.status(job.task_id).status == "failed"
    world.market.failing.clear()
    world.market.asked.clear()
    world.filler.retry(job.task_id)
    world.run()
    done = world.filler.status(job.task_id)
    assert (done.status, done.reason, done.errors) == ("completed", "", [])
    assert done.records_filled == expected_records(12)
    assert {region for region, *_ in world.market.asked} == {"us-east-1"}


def test_a_shard_is_tried_again_before_it_fails(world: World) -> None:
    world.market.failing["eu-west-1"] = [MarketUnavailable("eu-west-1", "throttled")] * 2
    job = world.filler.submit()
    world.run()
    assert world.filler.status(job.task_id).status == "completed"
    assert sum(shard.attempts for shard in world.filler.shards(job.task_id)) == 12 + 2


def test_a_stopped_fill_goes_on_and_pulls_no_finished_shard_again(tmp_path: Path) -> None:
    world = build(tmp_path, FillLimits(REGIONS, TYPES, types_per_shard=1, days_per_shard=5, threads_per_region=1))
    job = world.filler.submit()
    stop = threading.Event()
    pages = iter(range(20))
    world.market.before_page = lambda: stop.set() if next(pages, None) == 15 else None
    world.filler.run_next(stop)
    halfway = world.filler.status(job.task_id)
    done = {(s.region, s.instance_types, s.start, s.end) for s in world.filler.shards(job.task_id) if s.state == "done"}
    assert halfway.status == "in_progress"
    assert 0 < len(done) < halfway.shards_total
    assert 0 < halfway.percent_complete < 80
    world.store.close()

    resumed = build(tmp_path, LIMITS)
    resumed.run()
    ended = resumed.filler.status(job.task_id)
    assert ended.status == "completed"
    assert ended.records_filled == expected_records(12) == resumed.history.prices().height
    assert done.isdisjoint(resumed.market.asked)
    assert len(resumed.market.asked) == ended.shards_total - len(done)
    resumed.store.close()


def test_a_cancelled_fill_ends_at_once_and_stays_so(world: World) -> None:
    job = world.filler.submit()
    once = threading.Lock()

    def cancel() -> None:
        if once.acquire(blocking=False):
            assert world.filler.cancel(job.task_id).reason == "cancelled"

    world.market.before_page = cancel
    world.run()
    done = world.filler.status(job.task_id)
    assert (done.status, done.reason) == ("failed", "cancelled")
    with pytest.raises(JobFinished):
        world.filler.cancel(job.task_id)
    assert world.history.predictions().is_empty()


def test_a_waiting_fill_can_be_cancelled(world: World) -> None:
    job = world.filler.submit()
    assert world.filler.cancel(job.task_id).status == "failed"
    world.run()
    assert world.market.asked == []


def test_a_running_fill_is_not_ordered_twice(world: World) -> None:
    first = world.filler.submit()
    assert world.filler.submit(FillRequest(regions=("us-east-1",))).task_id == first.task_id
    other = world.filler.submit(FillRequest(product_descriptions=("Windows",)))
    assert other.task_id == "gap-fill-2"
    assert [job.task_id for job in world.filler.history()] == ["gap-fill-2", "gap-fill-1"]


def test_what_cannot_be_meant_is_refused(world: World) -> None:
    cases: list[tuple[FillRequest, type[Exception]]] = [
        (FillRequest(regions=("eu-west-7",)), UnknownPlace),
        (FillRequest(instance_types=("m5.lrge",)), UnknownPlace),
        (FillRequest(product_descriptions=("BSD",)), FillRequestInvalid),
        (FillRequest(trained_until=date(2026, 4, 1)), FillRequestInvalid),
        (FillRequest(trained_until=date(2027, 1, 1)), FillRequestInvalid),
    ]
    for request, error in cases:
        with pytest.raises(error):
            world.filler.submit(request)
    with pytest.raises(UnknownPlace) as caught:
        world.filler.submit(FillRequest(instance_types=("m5.lrge",)))
    assert caught.value.nearest[0] == "m5.large"
    for task_id in ("gap-fill-99", "gap-fill-x", "x", "gap-fill-"):
        with pytest.raises(JobNotFound):
            world.filler.status(task_id)
    assert world.filler.history() == []


def test_analysis_counts_days_and_names_what_the_market_lost(world: World) -> None:
    found = world.filler.analyze()
    assert (found.trained_until, found.current_date, found.gap_days) == (date(2026, 3, 21), date(2026, 3, 31), 10)
    assert found.required_data_types == ("spot_prices", "on_demand_prices")
    assert found.unavailable is None
    assert found.pools == 12
    assert found.estimated_records == round(12 * 16.521 * 2.3)
    world.predictor.active.append(model(NOW - timedelta(days=120), "old:v1", "spot_interruption"))
    old = world.filler.analyze()
    assert old.unavailable is not None
    assert old.unavailable.end == NOW.replace(microsecond=0) - timedelta(days=90)
    assert {m.model_id: m.unavailable is not None for m in old.models} == {"stays:v1": False, "old:v1": True}


def test_a_gap_longer_than_the_market_keeps_is_filled_as_far_as_it_goes(world: World) -> None:
    world.predictor.active = [model(NOW.replace(hour=0, minute=0, second=0) - timedelta(days=120))]
    job = world.filler.submit()
    world.run()
    done = world.filler.status(job.task_id)
    assert done.status == "completed"
    assert done.unavailable is not None
    assert min(start for _, _, start, _ in world.market.asked) == NOW.replace(microsecond=0) - timedelta(days=90)
    assert done.coverage is not None
    assert done.coverage.reasons == {"older than what the market keeps": 12}
    total = done.coverage.pools * (done.end - done.gap_start) / timedelta(hours=1)
    known = done.coverage.observed_hours + done.coverage.carried_in_hours + done.coverage.imputed_hours
    assert known + done.coverage.unfillable_hours == pytest.approx(total)
    assert world.history.predictions()["as_of"].min() == (NOW - timedelta(hours=469)).replace(minute=0, second=0)


def test_a_stale_writer_leaves_the_job_to_the_new_one(tmp_path: Path) -> None:
    def fence() -> None:
        raise StaleWriter("gap-filler", 1, 2)

    world = build(tmp_path, fence=fence)
    job = world.filler.submit()  # the store is not fenced here, only the tables
    with pytest.raises(StaleWriter):
        world.filler.run_next(threading.Event())
    assert world.filler.status(job.task_id).status == "in_progress"
    assert world.filler.status(job.task_id).shards_done == 0
    world.store.close()


def test_a_writer_that_was_replaced_may_not_write_a_job_either(tmp_path: Path) -> None:
    def fence() -> None:
        raise StaleWriter("gap-filler", 1, 2)

    world = build(tmp_path)
    replaced = GapFiller(world.market, world.history, world.store, world.predictor, limits=LIMITS, fence=fence)
    with pytest.raises(StaleWriter):
        replaced.submit()
    assert world.filler.history() == []
    world.store.close()


def test_a_predictor_that_breaks_ends_the_job_with_its_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model_id: str, features: pl.DataFrame) -> pl.DataFrame:
        raise ValueError("a matrix of 3 columns, not 4")

    monkeypatch.setattr(world.predictor, "predict", broken)
    job = world.filler.submit()
    world.run()
    done = world.filler.status(job.task_id)
    assert (done.status, done.reason) == ("failed", "ValueError: a matrix of 3 columns, not 4")
    assert done.shards_done == done.shards_total


def not_yet(errors: list[MarketUnavailable]) -> bool:
    if errors:
        raise errors.pop()
    return False


def test_the_worker_fills_unasked_once_the_market_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    monkeypatch.setattr("gapfill.filler._ASK_AGAIN_S", 0.0)
    down = [MarketUnavailable("us-east-1", "not yet")]
    regions = world.market.regions
    monkeypatch.setattr(world.market, "regions", lambda: () if not_yet(down) else regions())
    worker = threading.Thread(target=world.filler.run, args=(stop,), kwargs={"ensure": True})
    worker.start()
    deadline = time.monotonic() + 30
    while not any(job.status == "completed" for job in world.filler.history()) and time.monotonic() < deadline:
        worker.join(timeout=0.02)
    job = world.filler.history()[0]
    stop.set()
    worker.join(timeout=10)
    assert not worker.is_alive()
    assert (job.mode, job.status, job.requested_by, down) == ("missing", "completed", "server", [])


def test_imported_prices_join_the_history(world: World) -> None:
    old = all_points().with_columns(pl.col("at") - timedelta(days=100))
    bad = old.head(1).with_columns(pl.lit(0, dtype=pl.Int64).alias("price_micro_usd"))
    result = world.filler.import_prices(pl.concat([old, bad]), "dump.csv")
    assert (result.stored, result.refused) == (old.height, 1)
    assert world.history.prices().height == old.height


def test_a_record_that_is_no_price_counts_once_though_the_next_shard_carries_it_in(tmp_path: Path) -> None:
    points = all_points().filter(pl.col("at") <= NOW - timedelta(hours=100))  # from then on, the last one is carried in
    zero = pl.when(pl.col("at") == pl.col("at").max()).then(0).otherwise("price_micro_usd")
    world = build(tmp_path, points=points.with_columns(zero.cast(pl.Int64).alias("price_micro_usd")))
    job = world.filler.submit()
    world.run()
    ended = world.filler.status(job.task_id)
    world.store.close()
    assert (ended.status, ended.records_refused) == ("completed", points["pool_id"].n_unique())
