"""A fill from the replayed real history of sa-east-1, through boto3, against a count made with pandas from the file."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from gapfill.aws import AwsPriceSource
from gapfill.filler import GapFiller
from gapfill.history import History
from gapfill.jobs import Job
from gapfill.limits import FillLimits
from gapfill.market.server import MarketOptions, build_app, build_source
from gapfill.market.threaded import serve_in_thread
from gapfill.plan import gap_start
from gapfill.pools import PRODUCTS
from gapfill.requests import FillRequest
from services.store.sqlite import SqliteStore
from tests.fake_predictor import FakePredictor, model

DATA = Path(os.environ.get("CLOUDOPTIM_REAL_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
FILE = DATA / "spot_history_sa-east-1_2020.parquet"
REGION = "sa-east-1"
TYPES = (
    "c4.2xlarge",
    "c5.2xlarge",
    "c5.large",
    "c5.xlarge",
    "i3en.large",
    "m4.2xlarge",
    "m5.2xlarge",
    "m5.large",
    "m5.xlarge",
    "m5a.xlarge",
    "r5.large",
    "r5.xlarge",
)
R5AD = tuple(
    f"r5ad.{size}" for size in ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")
)

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not FILE.exists(), reason=f"the real AWS data are not at {DATA}"),
]


@dataclass
class Replay:
    """A filler over a market that replays the file, `shift` later than it was."""

    filler: GapFiller
    history: History
    predictor: FakePredictor
    shift: timedelta

    def fill(self, request: FillRequest) -> Job:
        job = self.filler.submit(request)
        while self.filler.run_next(threading.Event()):
            pass
        return self.filler.status(job.task_id)


@contextmanager
def replayed(folder: Path, end: datetime | None = None) -> Iterator[Replay]:
    source, state = build_source(MarketOptions(replay=FILE, end=end, on_demand=DATA / "on_demand_2019-04-05.csv"))
    weeks = state.shift_weeks
    assert weeks is not None
    with serve_in_thread(build_app(source, state)) as address, pytest.MonkeyPatch.context() as patch:
        for service in ("EC2", "PRICING"):
            patch.setenv(f"AWS_ENDPOINT_URL_{service}", address)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        aws = AwsPriceSource(REGION)
        trained_until = (datetime.now(UTC) - timedelta(days=28)).date()
        predictor = FakePredictor(model(gap_start(trained_until)))
        history = History(folder / "history", aws.market_id)
        store = SqliteStore(folder / "store.sqlite3")
        limits = FillLimits((REGION,), TYPES, types_per_shard=5)
        yield Replay(
            GapFiller(aws, history, store, predictor, limits=limits), history, predictor, timedelta(weeks=weeks)
        )
        store.close()


def in_file(replay: Replay, job: Job) -> pd.DataFrame:
    """The file's records of the job's pools that are prices, each once, at their shifted times."""
    rows = pd.read_parquet(FILE)
    rows["Timestamp"] = pd.to_datetime(rows["Timestamp"], utc=True) + replay.shift
    chosen = rows["InstanceType"].isin(job.instance_types) & rows["ProductDescription"].isin(job.product_descriptions)
    rows = rows[chosen & (rows["SpotPrice"].astype(float) > 0)]
    return rows.drop_duplicates(["AvailabilityZone", "InstanceType", "ProductDescription", "Timestamp"])


def as_points(rows: pd.DataFrame) -> set[tuple[str, datetime, int]]:
    """The records as (pool_id, at, micro-USD)."""
    names = rows[["AvailabilityZone", "InstanceType", "ProductDescription"]].astype(str)
    pool_ids = (
        REGION + "/" + names["AvailabilityZone"] + "/" + names["InstanceType"] + "/" + names["ProductDescription"]
    )
    prices = (rows["SpotPrice"].astype(float) * 1e6).round().astype(int)
    return set(zip(pool_ids, rows["Timestamp"].dt.to_pydatetime(), prices, strict=True))


def counted(rows: pd.DataFrame, start: datetime, end: datetime) -> int:
    """Distinct points in [start, end), and one more for each pool with an earlier record."""
    inside = rows[(rows["Timestamp"] >= start) & (rows["Timestamp"] < end)]
    earlier = rows[rows["Timestamp"] < start]
    return len(inside) + earlier.groupby(["AvailabilityZone", "InstanceType", "ProductDescription"]).ngroups


def test_a_fill_of_28_days_holds_every_point_of_the_file(tmp_path: Path) -> None:
    with replayed(tmp_path) as replay:
        job = replay.fill(FillRequest())
        assert job.status == "completed"
        assert job.history_start == job.gap_start - timedelta(days=7)
        rows = in_file(replay, job)
        expected = counted(rows, job.history_start, job.end)
        assert expected > 2_000
        assert job.records_filled == job.records_new == expected

        stored = replay.history.prices()
        assert set(stored.select("pool_id", "at", "price_micro_usd").rows()) <= as_points(rows)
        check_predictions(replay, job, rows.groupby(["AvailabilityZone", "InstanceType"]).ngroups)

        again = replay.fill(FillRequest())
        assert again.status == "completed"
        assert again.records_filled == counted(rows, again.history_start, again.end)
        assert again.records_new == again.records_filled - job.records_filled
        assert replay.history.prices().select("pool_id", "at").is_unique().all()
        assert replay.history.prices().height == stored.height + again.records_new


def check_predictions(replay: Replay, job: Job, pools: int) -> None:
    """One per pool and hour of the gap; each is the price that the file has for that hour."""
    made = replay.history.predictions()
    hours = int((job.end - job.gap_start) / timedelta(hours=1)) + 1
    assert pools == replay.history.pools().filter(pl.col("first_at") < job.gap_start).height
    assert made.height == pools * hours
    assert made.select("pool_id", "as_of").is_unique().all()
    joined = made.sort("as_of").join_asof(
        replay.history.prices().sort("at"), left_on="as_of", right_on="at", by="pool_id", check_sortedness=False
    )
    assert (joined["value"] * 1e6).round().cast(pl.Int64).equals(joined["price_micro_usd"])


def test_the_real_hole_shows_in_the_coverage(tmp_path: Path) -> None:
    with replayed(tmp_path, datetime(2020, 4, 20, tzinfo=UTC)) as replay:
        job = replay.fill(FillRequest())
        assert job.status == "completed"
        coverage = job.coverage
        assert coverage is not None
        assert coverage.pools == in_file(replay, job).groupby(["AvailabilityZone", "InstanceType"]).ngroups
        assert coverage.imputed_hours > 15 * coverage.pools
        # In the file: from about noon of 29 March to about noon of 31 March, most pools are silent.
        assert len(coverage.holes) == 1
        hole = coverage.holes[0]
        assert datetime(2020, 3, 29, tzinfo=UTC) < hole.start - replay.shift < datetime(2020, 3, 30, 1, tzinfo=UTC)
        assert datetime(2020, 3, 31, tzinfo=UTC) < hole.end - replay.shift < datetime(2020, 4, 1, tzinfo=UTC)


def test_no_zero_price_reaches_a_feature(tmp_path: Path) -> None:
    with replayed(tmp_path, datetime(2020, 2, 20, tzinfo=UTC)) as replay:
        job = replay.fill(FillRequest(instance_types=(*TYPES, *R5AD), product_descriptions=PRODUCTS))
        assert job.status == "completed"
        assert job.records_refused == 2
        assert job.records_filled == counted(in_file(replay, job), job.history_start, job.end)
        assert replay.history.prices()["price_micro_usd"].min() > 0  # type: ignore[operator]
        for rows in replay.predictor.seen:
            prices = rows.select("price", "price_mean_1h", "price_mean_24h", "price_mean_7d")
            assert prices.min_horizontal().min() > 0  # type: ignore[operator]
