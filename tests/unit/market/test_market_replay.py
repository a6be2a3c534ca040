"""A replayed file: the shift in whole weeks, what it serves at which moment, and the real file of sa-east-1."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapfill.market.errors import OptionsInvalid, StateMismatch
from gapfill.market.replay import WEEK_S, ReplayMarket, shift_weeks
from gapfill.market.server import MarketOptions, build_source
from tests.unit.market.market_clients import NOON, REAL_DATA, Market, SetClock, every_record, serving

WEEK = timedelta(weeks=1)
needs_real_data = [
    pytest.mark.realdata,
    pytest.mark.skipif(not REAL_DATA.exists(), reason="the real AWS data is not beside the checkout"),
]
LAST = datetime(2020, 2, 10, 6, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Forty days of a price every 12 h in two zones, up to `LAST`."""
    path = tmp_path / "prices.csv"
    with path.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["Timestamp", "AvailabilityZone", "InstanceType", "ProductDescription", "SpotPrice"])
        for step in range(80):
            for zone in ("eu-west-1a", "eu-west-1b"):
                at = (LAST - step * timedelta(hours=12)).isoformat()
                rows.writerow([at, zone, "m5.large", "Linux/UNIX", f"{0.03 + step / 10_000:.6f}"])
    return path


@given(now=st.integers(1_600_000_000, 1_900_000_000), last=st.integers(1_400_000_000, 1_590_000_000))
def test_without_an_end_seven_to_fourteen_days_lie_ahead(now: int, last: int) -> None:
    assert WEEK_S <= last + shift_weeks(now, last) * WEEK_S - now < 2 * WEEK_S


@given(
    now=st.integers(1_600_000_000, 1_900_000_000),
    last=st.integers(1_400_000_000, 1_590_000_000),
    before=st.integers(2 * WEEK_S, 60 * 86_400),
)
def test_an_end_is_laid_on_now_within_a_week_and_seven_days_are_left(now: int, last: int, before: int) -> None:
    weeks = shift_weeks(now, last, last - before)
    assert 0 <= now - (last - before + weeks * WEEK_S) < WEEK_S
    assert last + weeks * WEEK_S - now >= WEEK_S


def test_an_end_that_leaves_too_little_is_refused(file: Path) -> None:
    with pytest.raises(OptionsInvalid, match="2020-01-27 at the latest"):
        build_source(MarketOptions(replay=file, end=datetime(2020, 2, 1, tzinfo=UTC)))


def test_the_file_arrives_as_time_passes(file: Path) -> None:
    clock = SetClock()
    source, _ = build_source(MarketOptions(replay=file), clock)
    shift = source.identity()["shift_weeks"]
    assert isinstance(shift, int)
    with serving(source, clock) as market:
        ec2 = market.client("ec2", "eu-west-1")
        for _ in range(3):
            newest = every_record(ec2, StartTime=clock.now)[0]["Timestamp"]
            expected = max(
                at for step in range(80) if (at := LAST + shift * WEEK - step * timedelta(hours=12)) <= clock.now
            )
            assert newest == expected
            clock.advance(timedelta(days=2))
        clock.advance(timedelta(days=30))
        assert every_record(ec2, StartTime=clock.now)[0]["Timestamp"] == LAST + shift * WEEK


def test_a_replay_names_its_file_and_its_shift(file: Path) -> None:
    source, _ = build_source(MarketOptions(replay=file), SetClock())
    assert source.market_id == f"replay:{ReplayMarket(file, 0).market_id[7:19]}+{source.identity()['shift_weeks']}w"
    assert source.regions() == ("eu-west-1",)
    assert source.zones("eu-west-1") == {"eu-west-1a": "euw1-az1", "eu-west-1b": "euw1-az2"}


def test_the_shift_is_kept_at_the_first_start(file: Path, tmp_path: Path) -> None:
    clock = SetClock()
    options = MarketOptions(replay=file, state=tmp_path / "state")
    first, _ = build_source(options, clock)
    clock.advance(timedelta(days=25))
    again, _ = build_source(options, clock)
    afresh, _ = build_source(MarketOptions(replay=file), clock)
    assert first.market_id == again.market_id != afresh.market_id


def test_another_file_does_not_take_over_a_state(file: Path, tmp_path: Path) -> None:
    build_source(MarketOptions(replay=file, state=tmp_path / "state"))
    file.write_text(file.read_text().replace("m5.large", "m5.xlarge"))
    with pytest.raises(StateMismatch):
        build_source(MarketOptions(replay=file, state=tmp_path / "state"))


def test_a_list_of_on_demand_prices_is_taken_or_refused(file: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    head = "region,instance_type,os,ondemand_usd_hour,vcpu,memory_gib\n"
    listed.write_text(head + "eu-west-1,m5.large,linux,0.1234,2,8\neu-west-1,m5.large,rhel,0,2,8\n")
    source = ReplayMarket(file, 0, listed)
    assert source.on_demand("eu-west-1", "m5.large", "Linux/UNIX") == 123_400
    assert source.on_demand("eu-west-1", "m5.large", "Red Hat Enterprise Linux") is None
    assert ReplayMarket(file, 0).on_demand("eu-west-1", "m5.large", "Linux/UNIX") == 106_600
    listed.write_text(head + "eu-west-1,m5.large,linux,free,2,8\n")
    with pytest.raises(OptionsInvalid, match="on-demand"):
        ReplayMarket(file, 0, listed)


@pytest.fixture(scope="module")
def real() -> Iterator[Market]:
    clock = SetClock()
    options = MarketOptions(
        replay=REAL_DATA / "spot_history_sa-east-1_2020.parquet",
        end=datetime(2020, 2, 20, tzinfo=UTC),
        on_demand=REAL_DATA / "on_demand_2019-04-05.csv",
    )
    source, state = build_source(options, clock)
    with serving(source, clock, state) as market:
        yield market


def _expected(shift: timedelta, types: list[str], start: datetime, end: datetime) -> set[tuple[str, ...]]:
    """What a query must answer, from the file alone: the window's records and one carry-in per pool."""
    frame = pl.read_parquet(REAL_DATA / "spot_history_sa-east-1_2020.parquet").filter(
        pl.col("InstanceType").is_in(types)
    )
    frame = frame.with_columns(pl.col("Timestamp") + shift)
    keys = ["AvailabilityZone", "InstanceType", "ProductDescription"]
    inside = frame.filter(pl.col("Timestamp").is_between(start, end))
    before = frame.filter(pl.col("Timestamp") < start).sort("Timestamp").group_by(keys).last()
    both = pl.concat([inside, before.select(inside.columns)])
    return {(row["Timestamp"].isoformat(), *(str(row[k]) for k in keys), row["SpotPrice"]) for row in both.to_dicts()}


class TestRealFile:
    """The real history of sa-east-1 with 20 February 2020 laid on now."""

    pytestmark = needs_real_data

    def test_every_record_of_28_days_and_one_carry_in_per_pool_come_through_boto3(self, real: Market) -> None:
        shift = httpx.get(f"{real.address}/_market/identity").json()["shift_weeks"] * WEEK
        types, start = ["m5.large", "r5ad.16xlarge", "r5ad.24xlarge", "c5.xlarge"], NOON - timedelta(days=28)
        records = every_record(real.client("ec2", "sa-east-1"), StartTime=start, InstanceTypes=types)
        found = [
            (
                r["Timestamp"].astimezone(UTC).isoformat(),
                r["AvailabilityZone"],
                r["InstanceType"],
                r["ProductDescription"],
                r["SpotPrice"],
            )
            for r in records
        ]
        assert len(found) > 1000
        assert len(found) == len(set(found))
        assert set(found) == _expected(shift, types, start, NOON)
        assert sum(price == "0.000000" for *_, price in found) == 2

    def test_its_types_have_shapes_and_those_that_are_listed_have_prices(self, real: Market) -> None:
        ec2 = real.client("ec2", "sa-east-1")
        pages = ec2.get_paginator("describe_instance_types").paginate()
        kinds: dict[str, Any] = {kind["InstanceType"]: kind for page in pages for kind in page["InstanceTypes"]}
        assert len(kinds) == 176
        assert kinds["c1.medium"]["VCpuInfo"]["DefaultVCpus"] == 2
        filters = [
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "sa-east-1"},
            {"Type": "TERM_MATCH", "Field": "operatingSystem", "Value": "Linux"},
            {"Type": "TERM_MATCH", "Field": "capacitystatus", "Value": "Used"},
        ]
        pages = real.client("pricing").get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=filters)
        assert sum(len(page["PriceList"]) for page in pages) == 74
