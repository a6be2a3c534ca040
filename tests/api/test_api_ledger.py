"""The ledger over HTTP: answers are noted, warnings taken as they are, outcomes settled, figures drawn."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.live.predicted import Ask
from tests.api.api_house import changed_house
from tests.api.api_server import until
from tests.api.api_steps import problem, upload
from tests.api.conftest import World

HOUR = timedelta(hours=1)
MODEL = "ledger-hour:v1"
ZONES = "abc"


def pool(zone: str) -> str:
    return f"us-east-1/us-east-1{zone}/m5.large/Linux/UNIX"


def warning(event_id: str, at: datetime, instance: str = "i-0ledger1", **changes: Any) -> dict[str, Any]:
    """A warning as EventBridge sends it."""
    return {
        "version": "0",
        "id": event_id,
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "source": "aws.ec2",
        "account": "123456789012",
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "us-east-1",
        "resources": [f"arn:aws:ec2:us-east-1a:instance/{instance}"],
        "detail": {"instance-id": instance, "instance-action": "terminate"},
    } | changes


def node(name: str, zone: str) -> dict[str, Any]:
    return {
        "node_id": name,
        "region": "us-east-1",
        "availability_zone": f"us-east-1{zone}",
        "instance_type": "m5.large",
        "capacity_type": "spot",
        "capacity": {"vcpu": 2, "memory_gib": 8},
        "requested": {"cpu": 0.5, "memory": 0.5},
    }


def accuracy(api: httpx.Client, **asked: Any) -> dict[str, Any]:
    answer = api.get("/accuracy", params=asked)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


@pytest.fixture(scope="module")
def hour_model(world: World) -> str:
    """A model that looks one hour ahead, so that what it says becomes due within the test."""
    with world.served.client("operator") as api:
        model = world.models.interruption
        answer = upload(api, model, "ledger-hour", metadata=model.metadata | {"horizon_hours": 1})
        assert answer.status_code == 201, answer.text
    return MODEL


def test_from_an_answer_to_its_figures(world: World, admin: httpx.Client, hour_model: str) -> None:
    served = world.served
    asked = {"instance_type": "m5.large", "region": "us-east-1", "model_id": hour_model}
    assert admin.post("/predict/spot-interruption", json=asked).status_code == 200
    until(lambda: accuracy(admin, model_id=hour_model)["predictions"])
    (waiting,) = accuracy(admin, model_id=hour_model)["groups"]
    assert (waiting["origin"], waiting["status"]) == ("served", "awaiting_actuals")
    assert (waiting["known"], waiting["brier"], waiting["roc_auc"], waiting["skillful"]) == (0, None, None, None)

    # The same question as if it had been asked two hours ago, of the very core that answers requests.
    then = datetime.now(UTC) - 2 * HOUR
    ask = Ask("m5.large", "us-east-1", model_id=hour_model)
    told = asyncio.run(served.house.inference.answer(ask, then))
    said = {row["availability_zone"][-1]: row["interruption_probability"] for row in told["pools"]}
    stretches = [
        {"node_id": f"i-0ledger{n}", "pool_id": pool(zone), "start": (then - HOUR).isoformat(),
         "end": (then + 1.5 * HOUR).isoformat()}
        for n, zone in enumerate(ZONES)
    ]  # fmt: skip
    answer = admin.post("/events/exposures", json={"cluster_id": "ledger-past", "stretches": stretches})
    assert answer.json()["node_hours"] == 7.5
    struck = warning("ledger-1", then + HOUR / 2, "i-0ledger1")
    for result in ("new", "known"):
        told = admin.post("/events/interruptions", json=struck).json()
        assert told["events"] == [{"event_id": "ledger-1", "result": result}]

    (known,) = until(lambda: [g for g in accuracy(admin, model_id=hour_model)["groups"] if g["known"] == 3])
    assert known["status"] == "known"
    assert known["base_rate"] == pytest.approx(1 / 3)
    wrong = [(said[zone] - (zone == "b")) ** 2 for zone in ZONES]
    assert known["brier"] == pytest.approx(sum(wrong) / 3)
    assert known["unknown"] == len(said) - 3
    assert known["roc_auc"] is not None
    assert sum(one["answers"] for one in known["reliability"]) == 3
    by_pool = accuracy(admin, model_id=hour_model, group_by=["pool_id", "region"])["groups"]
    assert {row["pool_id"]: row["base_rate"] for row in by_pool if row["known"]} == {
        pool("a"): 0.0, pool("b"): 1.0, pool("c"): 0.0,
    }  # fmt: skip
    assert all(row["roc_auc"] is None for row in by_pool)

    rows = admin.get("/predictions/history", params={"model_id": hour_model, "origin": "served"}).json()["columns"]
    actual = {
        (pool_id, status): outcome
        for pool_id, status, outcome in zip(rows["pool_id"], rows["actual_status"], rows["actual"], strict=True)
    }
    assert actual[pool("b"), "observed"] == 1.0
    assert actual[pool("a"), "observed"] == 0.0
    assert actual[pool("a"), "awaiting_actuals"] is None
    listed = admin.get("/events/interruptions", params={"cluster_id": "ledger-past"}).json()
    assert [(row["event_id"], row["pool_id"]) for row in listed["interruptions"]] == [("ledger-1", pool("b"))]
    audited = [row["action"] for row in admin.get("/audit", params={"limit": 200}).json()]
    assert {"interruption.received", "exposure.told"} <= set(audited)


def test_prices_are_held_against_the_last_value(admin: httpx.Client, world: World) -> None:
    told = accuracy(admin, task="spot_price", origin="backtest", hours=24 * 10)
    (group,) = told["groups"]
    assert (group["model_id"], group["origin"]) == ("spot-price:v1", "gap")
    assert group["known"] > 100
    assert group["mae"] > 0
    assert 0 < group["mape"] < 1
    assert group["skill"] == pytest.approx(1 - group["mae"] / group["naive_mae"], rel=0.05)
    assert group["skillful"] == (group["mae"] < group["naive_mae"])
    narrowed = accuracy(admin, task="spot_price", origin="gap", region="eu-west-1", hours=24 * 10)
    assert 0 < narrowed["groups"][0]["known"] < group["known"]
    assert accuracy(admin, region="nowhere-1")["status"] == "no_predictions"


def test_live_predictions_await_their_time(admin: httpx.Client, world: World) -> None:
    def live() -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = accuracy(admin, origin="live", model_id="spot-interruption:v1")["groups"]
        return groups

    (group,) = until(live, 75)  # the loop writes in batches
    assert group["status"] == "awaiting_actuals"
    assert (group["known"], group["brier"], group["reliability"]) == (0, None, None)


def test_clusters_are_exposed_and_warnings_find_their_nodes(admin: httpx.Client) -> None:
    state = {"nodes": [node("i-0abcdef01", "a"), node("aws:///us-east-1b/i-0abcdef02", "b")]}
    assert admin.put("/clusters/ledger-live", json=state).status_code == 201
    at = datetime.now(UTC)
    events = [
        warning("live-1", at, "i-0abcdef02"),
        warning("live-2", at, "i-0nobody00"),
        warning("live-3", at, "i-0nobody01", detail={
            "instance-id": "i-0nobody01", "instance-type": "c5.large", "availability-zone": "us-east-1c"}),
        warning("live-4", at, "i-0abcdef01", source="aws.fis"),
        warning("live-5", at, **{"detail-type": "EC2 Instance Rebalance Recommendation"}),
        warning("live-1", at, "i-0abcdef02"),
    ]  # fmt: skip
    told = admin.post("/events/interruptions", json=events).json()
    assert [row["result"] for row in told["events"]] == ["new", "new", "new", "injected", "ignored", "known"]
    assert admin.delete("/clusters/ledger-live").status_code == 200

    def kept() -> dict[str, Any]:
        rows = admin.get("/events/interruptions", params={"start": (at - HOUR).isoformat()}).json()["interruptions"]
        found = {row["event_id"]: (row["pool_id"], row["injected"]) for row in rows if row["event_id"] in named}
        return found if len(found) == len(named) else {}

    named = {"live-1", "live-2", "live-3", "live-4"}
    assert until(kept) == {
        "live-1": (pool("b"), False),
        "live-2": (None, False),
        "live-3": ("us-east-1/us-east-1c/c5.large/Linux/UNIX", False),
        "live-4": (pool("a"), True),
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        [{}],
        "warning",
        warning("x", datetime(1999, 1, 1, tzinfo=UTC)),
        warning("x", datetime.now(UTC) + 5 * HOUR),
        warning("x", datetime.now(UTC), detail={}),
        warning("x", datetime.now(UTC), detail={"instance-id": 7}),
        warning("x", datetime.now(UTC), time="0001-01-01T00:00:00+23:00"),
        [warning("x", datetime.now(UTC))] * 1001,
    ],
)
def test_events_that_cannot_be_meant(admin: httpx.Client, body: Any) -> None:
    problem(admin.post("/events/interruptions", json=body), 422)


@pytest.mark.parametrize(
    "changes",
    [
        {"pool_id": "nowhere"},
        {"end": "2026-01-01T00:00:00Z"},
        {"end": (datetime.now(UTC) + 9 * HOUR).isoformat()},
        {"start": "yesterday"},
    ],
)
def test_stretches_of_exposure_that_cannot_be_meant(admin: httpx.Client, changes: dict[str, Any]) -> None:
    good = {"node_id": "i-1", "pool_id": pool("a"), "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
    problem(admin.post("/events/exposures", json={"cluster_id": "x", "stretches": [good | changes]}), 422)


@pytest.mark.parametrize(
    "asked",
    [
        {"from": "2026-11-02T00:00:00Z", "to": "2026-11-01T00:00:00Z"},
        {"from": "2020-11-02T00:00:00Z"},
        {"hours": 0},
        {"hours": "nan"},
        {"group_by": "colour"},
        {"origin": "dreamt"},
        {"task": "weather"},
    ],
)
def test_windows_that_cannot_be_meant(admin: httpx.Client, asked: dict[str, Any]) -> None:
    problem(admin.get("/accuracy", params=asked), 422)


def test_an_unskilled_forecast_is_refused_where_the_setting_says_so(world: World, admin: httpx.Client) -> None:
    house = world.served.house
    unskilled = {"skill": -0.25, "skillful": False, "known": 120, "status": "known", "at": "2026-01-01T00:00:00Z"}
    house.store.put("skill", "spot-interruption:v1", unskilled)
    question = {"instance_type": "m5.large", "region": "us-east-1"}
    assert admin.post("/predict/spot-interruption", json=question).status_code == 200
    strict = house.settings.model_copy(update={"refuse_unskilled": True})
    with changed_house(world.served, settings=strict, skills=type(house.skills)(house.store)):
        told = problem(admin.post("/predict/spot-interruption", json=question), 409, "forecast-unskilled")
        assert (told["skill"], told["known"]) == (-0.25, 120)
        named = question | {"model_id": "spot-interruption:v1"}
        assert admin.post("/predict/spot-interruption", json=named).status_code == 200
    house.store.delete("skill", "spot-interruption:v1")


def test_figures_are_metrics_too(admin: httpx.Client, world: World) -> None:
    def exposition() -> str:
        return httpx.get(
            world.served.address + "/metrics", headers=dict(admin.headers), trust_env=False, timeout=30
        ).text

    found = until(lambda: text if "cloudoptim_accuracy{" in (text := exposition()) else "")
    assert 'cloudoptim_interruption_events_total{result="new"}' in found
    assert 'cloudoptim_served_answers_total{result="written"}' in found
