"""What was predicted, beside what then happened: the gap without holes, and live from there on."""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from gapfill.aws import AwsPriceSource
from gapfill.pools import LINUX, Pool
from tests.api.api_models import REGIONS, TYPES
from tests.api.api_server import until
from tests.api.api_steps import problem
from tests.api.conftest import World

HOUR = timedelta(hours=1)


def rows(api: httpx.Client, **asked: Any) -> list[dict[str, Any]]:
    """Predictions as rows, with instants as instants."""
    answer = api.get("/predictions/history", params={"limit": 50_000, **asked})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert not told["truncated"]
    columns: dict[str, list[Any]] = told["columns"]
    assert {len(values) for values in columns.values()} == {told["count"]}
    found = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for row in found:
        row |= {name: datetime.fromisoformat(row[name]) for name in ("as_of", "target_at", "made_at")}
    return found


@pytest.fixture(scope="module")
def gap(world: World) -> list[dict[str, Any]]:
    """Every prediction of the gap."""
    with world.served.client("viewer") as viewer:
        return rows(viewer, origin="gap", start=world.fill["gap_start"])


def test_every_pool_has_one_prediction_for_each_hour_of_the_gap(world: World, gap: list[dict[str, Any]]) -> None:
    start = datetime.combine(world.models.trained_until + timedelta(days=1), time.min, UTC)
    filled_to = datetime.fromisoformat(world.fill["end"])
    hours = [start + n * HOUR for n in range(int((filled_to - start) / HOUR) + 1)]
    of: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for row in gap:
        if row["as_of"] <= filled_to:
            of[row["model_id"], row["pool_id"]].append(row["as_of"])
    pools = {pool_id for _, pool_id in of}
    assert len([p for p in pools if Pool.parse(p).instance_type in TYPES]) >= world.fill["coverage"]["pools"]
    for (model_id, pool_id), at in of.items():
        if model_id in ("spot-interruption:v1", "spot-price:v1") and Pool.parse(pool_id).instance_type in TYPES:
            assert at == hours, f"{model_id} for {pool_id}"


def test_live_goes_on_where_the_gap_ends(world: World, gap: list[dict[str, Any]], admin: httpx.Client) -> None:
    def live() -> list[dict[str, Any]]:
        return rows(admin, origin="live", region=REGIONS[0], instance_type="m5.large", model_id="spot-interruption:v1")

    found = until(live, 75)  # the loop writes in batches
    filled_to = datetime.fromisoformat(world.fill["end"])
    first: dict[str, datetime] = {}
    for row in found:
        first.setdefault(row["pool_id"], row["as_of"])
    last = {row["pool_id"]: row["as_of"] for row in gap}
    assert first.keys() <= last.keys()
    assert all(at - last[pool_id] <= HOUR + timedelta(minutes=1) for pool_id, at in first.items())
    assert all(at >= filled_to - timedelta(minutes=1) for at in first.values())


def test_an_outcome_is_the_price_that_the_market_had_then(world: World, gap: list[dict[str, Any]]) -> None:
    now = datetime.now(UTC)
    start = datetime.fromisoformat(world.fill["history_start"])
    source = AwsPriceSource("us-east-1")
    points: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
    for page in source.spot_pages("us-east-1", ["m5.large"], [LINUX], start, now):
        for pool_id, at, price in page.points.select("pool_id", "at", "price_micro_usd").iter_rows():
            points[pool_id].append((at, price / 1e6))

    def held(pool_id: str, at: datetime) -> float:
        return max((one for one in points[pool_id] if one[0] <= at), key=lambda one: one[0])[1]

    checked = 0
    for row in gap:
        if row["pool_id"] not in points:
            continue
        assert row["target_at"] == row["as_of"] + timedelta(hours=24)
        assert row["price"] == held(row["pool_id"], row["as_of"])
        if row["target_at"] > now:
            assert (row["actual"], row["actual_status"]) == (None, "awaiting_actuals")
        elif row["task"] == "spot_price":
            assert (row["actual"], row["actual_status"]) == (held(row["pool_id"], row["target_at"]), "observed")
            checked += 1
        else:
            assert (row["actual"], row["actual_status"]) == (None, "unknown")
    assert checked > 100


def test_the_newest_are_kept_when_there_are_too_many(admin: httpx.Client, world: World) -> None:
    start = world.fill["gap_start"]
    told = admin.get("/predictions/history", params={"start": start, "limit": 10}).json()
    assert (told["count"], told["truncated"]) == (10, True)
    at = told["columns"]["as_of"]
    assert all(a <= b for a, b in pairwise(at))
    newest = rows(admin, start=start)[-1]["as_of"]
    assert datetime.fromisoformat(at[-1]) <= newest
    assert newest - datetime.fromisoformat(at[-1]) < HOUR


def test_filters_narrow_the_history(admin: httpx.Client, world: World) -> None:
    start = world.fill["gap_start"]
    pool_id = "us-east-1/us-east-1a/m5.large/Linux/UNIX"
    cases: tuple[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]], ...] = (
        ({"pool_id": pool_id}, lambda row: bool(row["pool_id"] == pool_id)),
        ({"region": "eu-west-1"}, lambda row: str(row["pool_id"]).startswith("eu-west-1/")),
        ({"instance_type": ["m5.large", "c5.large"]}, lambda row: str(row["pool_id"]).split("/")[2] != "m5.xlarge"),
        ({"model_id": "spot-price:v1"}, lambda row: bool(row["task"] == "spot_price")),
    )
    for asked, matches in cases:
        found = rows(admin, start=start, **asked)
        assert found
        assert all(matches(row) for row in found)
    assert rows(admin, start=start, region="nowhere-1") == []


@pytest.mark.parametrize(
    "asked",
    [
        {"start": "2026-11-02T00:00:00Z", "end": "2026-11-01T00:00:00Z"},
        {"start": "2026-11-02T00:00:00"},
        {"end": "0001-01-01T00:00:00Z"},
        {"start": "9999-12-31T23:59:59-23:59"},
        {"start": "soon"},
        {"limit": 0},
        {"limit": 10**9},
    ],
)
def test_stretches_that_cannot_be_meant(admin: httpx.Client, asked: dict[str, Any]) -> None:
    problem(admin.get("/predictions/history", params=asked), 422)
    if "limit" not in asked:
        problem(admin.get("/prices/history", params=asked | {"pool_id": "a/b/c/d"}), 422)


def test_the_latest_of_each_pool(admin: httpx.Client) -> None:
    told = admin.get("/predictions/latest", params={"region": "us-east-1", "instance_type": "m5.large"}).json()
    assert told["models"]["spot_interruption"]["model_id"] == "spot-interruption:v1"
    assert len(told["predictions"]) >= 3
    for row in told["predictions"]:
        assert (row["region"], row["instance_type"]) == ("us-east-1", "m5.large")
        assert 0 <= row["interruption_probability"] <= 1
        assert row["predicted_price"] > 0
        assert row["spot_price"] > 0
    problem(admin.get("/predictions/latest", params={"cluster_id": "nobody"}), 404, "cluster-unknown")
