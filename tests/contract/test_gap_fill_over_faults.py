"""A fill over a market with faults: it ends right, or says what was wrong and where."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from gapfill.aws import AwsLimits, AwsPriceSource
from gapfill.errors import MarketAccessDenied, MarketUnavailable, RegionNotEnabled
from gapfill.filler import GapFiller
from gapfill.history import History
from gapfill.jobs import Job, JobBook
from gapfill.limits import FillLimits
from gapfill.market.server import build_app
from gapfill.market.simulate import SimulatedMarket
from gapfill.market.threaded import serve_in_thread
from gapfill.plan import gap_start
from gapfill.pools import LINUX
from gapfill.requests import FillRequest
from gapfill.scope import Scope
from services.store.sqlite import SqliteStore
from tests.fake_predictor import FakePredictor, model

REGIONS = ("eu-west-1", "us-east-1")
TYPES = ("c5.large", "m5.large")
TRAINED_UNTIL = (datetime.now(UTC) - timedelta(days=10)).date()


@dataclass
class Served:
    """A simulated market and the environment that points AWS's client at it."""

    address: str
    environment: dict[str, str]

    def fault(self, kind: str, **fields: object) -> None:
        httpx.post(f"{self.address}/_market/faults", json={"kind": kind, **fields}).raise_for_status()

    def mend(self) -> None:
        httpx.delete(f"{self.address}/_market/faults").raise_for_status()

    def requests(self) -> list[dict[str, Any]]:
        """The price history requests so far."""
        last = httpx.get(f"{self.address}/_market/requests", params={"last": 100_000}).json()["last"]
        return [one for one in last if one["action"] == "DescribeSpotPriceHistory"]


@pytest.fixture
def served() -> Iterator[Served]:
    market = SimulatedMarket(11, REGIONS, (*TYPES, "m5.xlarge"))
    with serve_in_thread(build_app(market)) as address, pytest.MonkeyPatch.context() as patch:
        environment = {
            "AWS_ENDPOINT_URL_EC2": address,
            "AWS_ENDPOINT_URL_PRICING": address,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        yield Served(address, environment)


@dataclass
class Filling:
    filler: GapFiller
    history: History
    source: AwsPriceSource

    def fill(self) -> Job:
        job = self.filler.submit(FillRequest())
        while self.filler.run_next(threading.Event()):
            pass
        return self.filler.status(job.task_id)


@pytest.fixture
def filling(served: Served, tmp_path: Path) -> Iterator[Filling]:
    source = AwsPriceSource(limits=AwsLimits(read_s=5, attempts=3))
    history = History(tmp_path / "history", source.market_id)
    store = SqliteStore(tmp_path / "store.sqlite3")
    predictor = FakePredictor(model(gap_start(TRAINED_UNTIL)))
    limits = FillLimits(REGIONS, TYPES, types_per_shard=1, threads_per_region=2)
    yield Filling(GapFiller(source, history, store, predictor, limits=limits), history, source)
    store.close()


def undisturbed(filling: Filling, job: Job) -> pl.DataFrame:
    """The job's points as a market without faults gives them."""
    points = [
        page.points
        for region in REGIONS
        for page in filling.source.spot_pages(region, TYPES, (LINUX,), job.history_start, job.end)
    ]
    return pl.concat(points).filter(pl.col("at") < job.end).unique().sort("pool_id", "at")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("throttling", {"probability": 0.2, "action": "DescribeSpotPriceHistory"}),
        ("server_error", {"probability": 0.2, "action": "DescribeSpotPriceHistory"}),
        ("cut_off", {"probability": 0.2, "action": "DescribeSpotPriceHistory"}),
        ("slow", {"delay_s": 0.05, "count": 10}),
        ("duplicated_records", {}),
        ("short_pages", {}),
    ],
)
def test_passing_faults_leave_no_trace(served: Served, filling: Filling, kind: str, fields: dict[str, Any]) -> None:
    served.fault(kind, **fields)
    job = filling.fill()
    served.mend()
    assert (job.status, job.reason) == ("completed", "")
    points = undisturbed(filling, job)
    assert filling.history.prices().equals(points)
    assert job.records_filled == points.height


def test_a_refusing_region_leaves_the_other_alone(served: Served, filling: Filling) -> None:
    served.fault("auth_failure", region="eu-west-1", action="DescribeSpotPriceHistory")
    job = filling.fill()
    assert job.status == "failed"
    assert [(error.region, error.kind) for error in job.errors] == [("eu-west-1", "RegionNotEnabled")]
    served.mend()
    there = undisturbed(filling, job).filter(pl.col("pool_id").str.starts_with("us-east-1"))
    assert filling.history.prices(Scope(regions=("us-east-1",))).equals(there)
    assert filling.history.prices(Scope(regions=("eu-west-1",))).is_empty()


def test_a_region_that_stays_down_is_named_and_can_be_taken_up(served: Served, filling: Filling) -> None:
    served.fault("cut_off", region="eu-west-1", action="DescribeSpotPriceHistory")
    job = filling.fill()
    assert (job.status, {error.kind for error in job.errors}) == ("failed", {"MarketUnavailable"})
    served.mend()
    filling.filler.retry(job.task_id)
    assert filling.filler.run_next(threading.Event())
    done = filling.filler.status(job.task_id)
    assert done.status == "completed"
    assert filling.history.prices().equals(undisturbed(filling, done))


@pytest.mark.parametrize(
    ("kind", "region", "error"),
    [
        ("expired_token", "eu-west-1", MarketAccessDenied),
        ("auth_failure", "us-east-1", MarketAccessDenied),
        ("auth_failure", "eu-west-1", RegionNotEnabled),
        ("throttling", "eu-west-1", MarketUnavailable),
        ("server_error", "eu-west-1", MarketUnavailable),
    ],
)
def test_what_aws_says_is_told_in_our_words(served: Served, kind: str, region: str, error: type[Exception]) -> None:
    source = AwsPriceSource(home_region="us-east-1", limits=AwsLimits(attempts=1))
    served.fault(kind, region=region)
    with pytest.raises(error) as caught:
        source.current(region, TYPES, (LINUX,))
    assert caught.value.args[0] == region


def test_a_market_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch, served: Served) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:9")
    with pytest.raises(MarketUnavailable):
        AwsPriceSource(limits=AwsLimits(attempts=1, connect_s=2)).regions()


def start_child(served: Served, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.fill_child", str(folder), TRAINED_UNTIL.isoformat()]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, env={**os.environ, **served.environment})


def ask_of(request: dict[str, Any]) -> tuple[str, ...]:
    fields = request["fields"]
    return (request["region"], fields["InstanceType.1"], fields["StartTime"], fields["EndTime"])


def test_a_killed_fill_resumes_and_pulls_no_finished_shard_again(served: Served, tmp_path: Path) -> None:
    served.fault("slow", action="DescribeSpotPriceHistory", delay_s=0.15)
    store = SqliteStore(tmp_path / "store.sqlite3")
    book = JobBook(store)
    deadline = time.monotonic() + 60
    child = start_child(served, tmp_path)
    try:
        while not (jobs := book.newest(1)) or jobs[0].shards_done < 5:
            assert time.monotonic() < deadline
            assert child.poll() is None
            served.requests()
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    halfway = book.newest(1)[0]
    done = [shard for shard in book.shards(halfway.task_id) if shard.state == "done"]
    before = Counter(ask_of(request) for request in served.requests())
    assert halfway.status == "in_progress"
    assert 5 <= len(done) < halfway.shards_total

    served.mend()
    child = start_child(served, tmp_path)
    assert child.wait(timeout=60) == 0
    ended = book.get(halfway.task_id)
    after = Counter(ask_of(request) for request in served.requests())
    assert ended.status == "completed"
    assert [job.task_id for job in book.newest(10)] == [halfway.task_id]
    for shard in done:
        ask = (
            shard.region,
            shard.instance_types[0],
            f"{shard.start:%Y-%m-%dT%H:%M:%SZ}",
            f"{shard.end:%Y-%m-%dT%H:%M:%SZ}",
        )
        assert before[ask] > 0
        assert after[ask] == before[ask]
    source = AwsPriceSource()
    history = History(tmp_path / "history", source.market_id)
    points = history.prices()
    whole = undisturbed(Filling(None, history, source), ended)  # type: ignore[arg-type]
    assert points.equals(whole)
    assert ended.records_filled == whole.height
    made = history.predictions()
    hours = int((ended.end - ended.gap_start) / timedelta(hours=1)) + 1
    assert made.height == hours * points["pool_id"].n_unique()
    store.close()
