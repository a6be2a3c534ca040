"""Gaps over HTTP: analysed, filled, followed, cancelled, imported."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.api_models import GAP_DAYS, REGIONS, TYPES
from tests.api.api_server import until
from tests.api.api_steps import problem
from tests.api.conftest import World

TODAY = datetime.now(UTC).date()
JSON = {"Content-Type": "application/json"}


def followed(api: httpx.Client, task_id: str) -> list[dict[str, Any]]:
    """Every state of a job that was seen until it ended."""
    seen: list[dict[str, Any]] = []

    def ended() -> bool:
        seen.append(api.get(f"/gap-filler/status/{task_id}").json())
        return bool(seen[-1]["status"] != "in_progress")

    until(ended)
    return seen


def test_the_gap_of_an_active_model_was_filled_unasked(world: World) -> None:
    job = world.fill
    assert (job["status"], job["requested_by"], job["reason"]) == ("completed", "server", "")
    assert job["trained_until"] == world.models.trained_until.isoformat()
    assert set(job["regions"]) == set(REGIONS)
    assert set(job["instance_types"]) == set(TYPES)
    assert (job["percent_complete"], job["eta_seconds"], job["phase"]) == (100.0, None, "ended")
    assert job["records_filled"] == sum(shard["records"] for shard in job["shards"]) > 0
    assert job["records_new"] == job["records_filled"]
    assert job["predictions_made"] > 0
    assert all(shard["state"] == "done" for shard in job["shards"])
    coverage = job["coverage"]
    hours = sum(coverage[f"{kind}_hours"] for kind in ("observed", "carried_in", "imputed", "unfillable"))
    window = datetime.fromisoformat(coverage["end"]) - datetime.fromisoformat(coverage["start"])
    assert hours == pytest.approx(coverage["pools"] * window / timedelta(hours=1), rel=1e-6)


def test_analysis_of_the_active_models(world: World, admin: httpx.Client) -> None:
    analysis = admin.post("/gap-filler/analyze").json()
    assert analysis["trained_until"] == world.models.trained_until.isoformat()
    assert analysis["current_date"] == TODAY.isoformat()
    assert analysis["gap_days"] == GAP_DAYS
    assert analysis["required_data_types"] == ["spot_prices", "on_demand_prices"]
    assert {model["task"] for model in analysis["models"]} == {"spot_interruption", "spot_price"}
    assert analysis["unavailable"] is None
    assert analysis["estimated_records"] > 0
    assert analysis["estimated_seconds"] > 0
    assert analysis["coverage"]["pools"] == analysis["pools"]


@pytest.mark.parametrize("days", [0, 1, 28, 89])
def test_gap_days_are_the_difference_of_the_two_dates(admin: httpx.Client, days: int) -> None:
    trained_until = TODAY - timedelta(days=days)
    analysis = admin.post("/gap-filler/analyze", json={"trained_until": trained_until.isoformat()}).json()
    assert analysis["gap_days"] == days == (TODAY - date.fromisoformat(analysis["trained_until"])).days
    assert analysis["unavailable"] is None


def test_what_the_market_no_longer_has_is_named(admin: httpx.Client) -> None:
    trained_until = TODAY - timedelta(days=120)
    analysis = admin.post("/gap-filler/analyze", json={"trained_until": trained_until.isoformat()}).json()
    assert analysis["gap_days"] == 120
    start, end = (datetime.fromisoformat(analysis["unavailable"][edge]) for edge in ("start", "end"))
    assert start == datetime.combine(trained_until + timedelta(days=1), datetime.min.time(), UTC)
    assert end == pytest.approx(datetime.now(UTC) - timedelta(days=90), abs=timedelta(minutes=1))


def test_a_fill_is_followed_from_order_to_end(admin: httpx.Client) -> None:
    order = {"instance_types": ["c5.xlarge"], "regions": ["us-west-2"]}
    ordered = admin.post("/gap-filler/fill", json=order)
    assert ordered.status_code == 202
    row = ordered.json()
    assert row["status"] == "in_progress"
    assert row["task_id"].startswith("gap-fill-")
    assert row["requested_by"] == "ML_SERVER_ADMIN_TOKEN" or row["requested_by"].startswith("admin")
    seen = followed(admin, row["task_id"])
    percents = [state["percent_complete"] for state in seen]
    assert percents == sorted(percents)
    assert all(0 <= percent <= 100 for percent in percents)
    assert all(state["eta_seconds"] is None or state["eta_seconds"] >= 0 for state in seen)
    last = seen[-1]
    assert (last["status"], last["percent_complete"]) == ("completed", 100.0)
    assert last["regions"] == ["us-west-2"]
    listed = {job["task_id"]: job for job in admin.get("/gap-filler/history").json()}
    assert listed[row["task_id"]]["records_filled"] == last["records_filled"] > 0
    problem(admin.post(f"/gap-filler/cancel/{row['task_id']}"), 409, "fill-finished")
    problem(admin.post(f"/gap-filler/retry/{row['task_id']}"), 409, "fill-finished")
    # What a fill has asked for is tracked from then on.
    ask = {"instance_type": "c5.xlarge", "region": "us-west-2"}
    assert until(lambda: admin.post("/predict/spot-interruption", json=ask).status_code == 200, 20)


def test_a_second_fill_stores_no_point_twice(admin: httpx.Client) -> None:
    order = {"instance_types": ["m5.large"], "regions": ["eu-west-1"]}
    first = followed(admin, admin.post("/gap-filler/fill", json=order).json()["task_id"])[-1]
    second = followed(admin, admin.post("/gap-filler/fill", json=order).json()["task_id"])[-1]
    assert second["records_filled"] >= first["records_filled"] > 0
    since = second["records_filled"] - first["records_filled"]
    assert second["records_new"] <= since + 50  # a lively market: what came in between, at most


def test_a_fill_without_a_body_takes_the_configured_regions_and_types(world: World, admin: httpx.Client) -> None:
    row = admin.post("/gap-filler/fill").json()
    assert tuple(row["regions"]) == world.served.settings.gap_filler_regions
    assert tuple(row["instance_types"]) == world.served.settings.gap_filler_instance_types
    assert row["product_descriptions"] == ["Linux/UNIX"]
    assert followed(admin, row["task_id"])[-1]["status"] == "completed"


def test_a_fill_can_be_cancelled(admin: httpx.Client, world: World) -> None:
    slow = {"kind": "slow", "delay_s": 0.5}
    with httpx.Client(base_url=world.market, trust_env=False) as market:
        market.post("/_market/faults", json=slow).raise_for_status()
        try:
            order = {"regions": ["us-east-1"], "trained_until": (TODAY - timedelta(days=60)).isoformat()}
            task_id = admin.post("/gap-filler/fill", json=order).json()["task_id"]
            told = admin.post(f"/gap-filler/cancel/{task_id}")
            assert (told.json()["status"], told.json()["reason"]) == ("failed", "cancelled")
        finally:
            market.delete("/_market/faults")
    assert admin.get(f"/gap-filler/status/{task_id}").json()["reason"] == "cancelled"
    problem(admin.post(f"/gap-filler/cancel/{task_id}"), 409, "fill-finished")


@pytest.mark.parametrize(
    ("order", "field", "nearest"),
    [
        ({"regions": ["us-east-11"]}, "region", "us-east-1"),
        ({"instance_types": ["m5.lage"]}, "instance_type", "m5.large"),
        ({"regions": ["us-east-1", "mars-1"]}, "region", None),
        ({"product_descriptions": ["BeOS"]}, "product_descriptions", None),
        ({"trained_until": str(TODAY + timedelta(days=1))}, "trained_until", None),
        ({"trained_until": "0001-01-01"}, "trained_until", None),
        ({"trained_until": "yesterday"}, "trained_until", None),
        ({"regions": "us-east-1"}, "regions", None),
        ({"regions": [5]}, "regions.0", None),
        ({"region": ["us-east-1"]}, "region", None),
    ],
)
@pytest.mark.parametrize("path", ["/gap-filler/fill", "/gap-filler/analyze"])
def test_orders_that_cannot_be_meant(
    admin: httpx.Client, path: str, order: dict[str, Any], field: str, nearest: str | None
) -> None:
    told = problem(admin.post(path, json=order), 422)
    assert told["field"] == field
    if nearest:
        assert nearest in told["nearest"]
        assert nearest in told["advice"]


def test_fills_that_nobody_ordered(admin: httpx.Client) -> None:
    for task_id in ("gap-fill-999999", "nonsense", "gap-fill-", "gap-fill-99999999999999999999"):
        problem(admin.get(f"/gap-filler/status/{task_id}"), 404, "fill-not-found")
        problem(admin.post(f"/gap-filler/cancel/{task_id}"), 404, "fill-not-found")
        problem(admin.post(f"/gap-filler/retry/{task_id}"), 404, "fill-not-found")


def test_places_are_what_a_fill_accepts(admin: httpx.Client) -> None:
    places = admin.get("/gap-filler/places").json()
    assert set(places) == {*REGIONS, "us-west-2"}
    assert all(set(TYPES) <= set(types) for types in places.values())


# Imports

OLD = "2026-06-01T00:00:00+00:00"
RECORD = {
    "AvailabilityZone": "us-east-1a",
    "InstanceType": "m5.large",
    "ProductDescription": "Linux/UNIX",
    "SpotPrice": "0.041900",
    "Timestamp": OLD,
}


def imported(api: httpx.Client, name: str, data: bytes) -> httpx.Response:
    return api.post("/gap-filler/import", files={"file": (name, data)})


def prices_at(api: httpx.Client, pool_id: str, at: str) -> list[float]:
    start = datetime.fromisoformat(at)
    asked = {"pool_id": pool_id, "start": at, "end": (start + timedelta(hours=1)).isoformat()}
    found: list[float] = api.get("/prices/history", params=asked).json()["columns"]["spot_price"]
    return found


def test_what_the_aws_cli_prints_is_stored_once(admin: httpx.Client) -> None:
    dump = json.dumps(
        {"SpotPriceHistory": [RECORD, RECORD | {"SpotPrice": "0.0", "Timestamp": "2026-06-02T00:00:00Z"}]}
    )
    told = imported(admin, "dump.json", dump.encode())
    assert told.status_code == 201, told.text
    assert told.json() == {"stored": 1, "present": 0, "refused": 1}
    assert imported(admin, "dump.json", dump.encode()).json() == {"stored": 0, "present": 1, "refused": 1}
    assert prices_at(admin, "us-east-1/us-east-1a/m5.large/Linux/UNIX", OLD) == [0.0419]


def test_a_zone_id_becomes_the_name_that_the_market_has_for_it(admin: httpx.Client) -> None:
    lines = ["AvailabilityZoneId,InstanceType,ProductDescription,SpotPrice,Timestamp"]
    lines += ["use1-az2,m5.xlarge,Linux/UNIX,0.0777,2026-06-01T00:00:00Z"]
    assert imported(admin, "dump.csv", "\n".join(lines).encode()).json()["stored"] == 1
    assert prices_at(admin, "us-east-1/us-east-1b/m5.xlarge/Linux/UNIX", OLD) == [0.0777]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("dump.json", b"{"),
        ("dump.json", b'{"SpotPriceHistory": [{"SpotPrice": 1}]}'),
        ("dump.json", b"[" * 100_000),
        ("dump.csv", b"a,b,c\n1,2,3\n"),
        ("dump.csv", b"\xff\xfe\x00\x01"),
        ("dump.tsv", b""),
        ("dump.parquet", b"PAR1 nonsense"),
        ("dump.exe", b"MZ"),
        ("dump", b"x"),
        ("../../dump.xml", b"<x/>"),
    ],
)
def test_files_that_are_no_price_history(admin: httpx.Client, world: World, name: str, data: bytes) -> None:
    folder = world.served.settings.data_dir
    before = sorted(path.name for path in folder.iterdir())
    assert problem(imported(admin, name, data), 422)["field"] == "file"
    assert sorted(path.name for path in folder.iterdir()) == before
