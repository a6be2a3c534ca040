"""The gap filler over prices in memory: orders, progress, failures, cancelling, and what is asked for next time."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from gapfill.errors import (
    FillRequestInvalid,
    GapUnknown,
    JobFinished,
    JobNotFound,
    MarketAccessDenied,
    MarketUnavailable,
    StaleWriter,
    UnknownPlace,
)
from gapfill.filler import GapFiller, Watched
from gapfill.frames import INSTANCE_TYPES, ON_DEMAND, PRICES
from gapfill.history import History
from gapfill.limits import FillLimits
from gapfill.memory_source import MemoryPriceSource
from gapfill.pools import LINUX, Pool
from gapfill.prices import PricePage
from gapfill.requests import FillRequest
from gapfill.scope import Scope
from services.store.sqlite import SqliteStore
from tests.fake_predictor import FakePredictor, model

NOW = datetime(2026, 3, 31, 12, 30, 15, tzinfo=UTC)
GAP_START = datetime(2026, 3, 22, tzinfo=UTC)
REGIONS = ("eu-west-1", "us-east-1")
TYPES = ("c5.large", "m5.large", "m5.xlarge")
ZONES = ("a", "b")
# Every 10 h from 20 days back; the first one lies before the window of a 9-day gap, so it is the carry-in's elder.
AGES_H = range(0, 480, 10)


def all_points() -> pl.DataFrame:
    rows = [
        (Pool(region, region + zone, t).pool_id, f"{region}-{zone}", NOW - timedelta(hours=age), 10_000 + age)
        for region in REGIONS
        for zone in ZONES
        for t in TYPES
        for age in AGES_H
    ]
    return pl.DataFrame(rows, schema=PRICES, orient="row")


class Market(MemoryPriceSource):
    """Counts what is asked, and fails where it is told to."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        places = [(region, t) for region in REGIONS for t in TYPES]
        super().__init__(
            all_points(),
            pl.DataFrame([(r, t, LINUX, NOW, 96_000) for r, t in places], schema=ON_DEMAND, orient="row"),
            pl.DataFrame([(t, 2, 8192, "x86_64", 0) for t in TYPES], schema=INSTANCE_TYPES, orient="row"),
            clock=clock,
            page_size=20,
        )
        self.asked: list[tuple[str, tuple[str, ...], datetime, datetime]] = []
        self.failing: dict[str, list[Exception]] = {}
        self.before_page: Callable[[], None] = lambda: None

    def spot_pages(
        self, region: str, instance_types: Sequence[str], products: Sequence[str], start: datetime, end: datetime
    ) -> Iterator[PricePage]:
        self.asked.append((region, tuple(instance_types), start, end))
        if self.failing.get(region):
            raise self.failing[region].pop(0)
        for page in super().spot_pages(region, instance_types, products, start, end):
            self.before_page()
            yield page


@dataclass
class World:
    market: Market
    history: History
    store: SqliteStore
    predictor: FakePredictor
    filler: GapFiller
    now: list[datetime] = field(default_factory=lambda: [NOW])

    def run(self) -> None:
        """Run every job that is waiting."""
        while self.filler.run_next(threading.Event()):
            pass


LIMITS = FillLimits(
    default_regions=REGIONS, default_instance_types=TYPES, types_per_shard=2, days_per_shard=7, pools_per_chunk=5
)


def build(folder: Path, limits: FillLimits = LIMITS, fence: Callable[[], None] = lambda: None) -> World:
    now = [NOW]
    market = Market(lambda: now[0])
    history = History(folder / "history", market.market_id, fence)
    store = SqliteStore(folder / "store.sqlite3")
    predictor = FakePredictor(model(GAP_START))
    filler = GapFiller(market, history, store, predictor, limits=limits, clock=lambda: now[0])
    return World(market, history, store, predictor, filler, now)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    built = build(tmp_path)
    yield built
    built.store.close()


def expected_records(pools: int) -> int:
    start = GAP_START - timedelta(days=7)
    inside = [age for age in AGES_H if start <= NOW - timedelta(hours=age) < NOW]
    return pools * (len(inside) + 1)


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
        (FillRequest(trained_until=NOW.date()), FillRequestInvalid),
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


def test_the_worker_loop_takes_orders_and_stops(world: World) -> None:
    stop = threading.Event()
    worker = threading.Thread(target=world.filler.run, args=(stop,))
    worker.start()
    job = world.filler.submit()
    deadline = threading.Event()
    while world.filler.status(job.task_id).status == "in_progress" and not deadline.wait(0.02):
        pass
    stop.set()
    worker.join(timeout=10)
    assert not worker.is_alive()
    assert world.filler.status(job.task_id).status == "completed"


def test_imported_prices_join_the_history(world: World) -> None:
    old = all_points().with_columns(pl.col("at") - timedelta(days=100))
    bad = old.head(1).with_columns(pl.lit(0, dtype=pl.Int64).alias("price_micro_usd"))
    result = world.filler.import_prices(pl.concat([old, bad]), "dump.csv")
    assert (result.stored, result.refused) == (old.height, 1)
    assert world.history.prices().height == old.height
