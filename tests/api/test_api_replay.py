"""Over HTTP: engines replayed over the server's own history, past decisions made again, why a pool was not chosen."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from examples.clusters import sample_clusters
from tests.api.api_server import Served, until
from tests.api.api_steps import problem

FRONTEND = sample_clusters(datetime.now(UTC))["shop-frontend"]
ENGINE = "spot_optimizer_v1"
SMALL = {"name": "small", "requirements": {"vcpu": 8, "memory_gib": 16, "min_nodes": 2}}


def order(days: float = 1.0, **fields: Any) -> dict[str, Any]:
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    window = {"start": (end - timedelta(days=days)).isoformat(), "end": end.isoformat()}
    return {**window, "workloads": [SMALL], "interruption_node_hours": [0.5], **fields}


def ended(api: httpx.Client, replay_id: str) -> dict[str, Any]:
    """The replay once it has ended, nothing before."""
    state: dict[str, Any] = api.get(f"/engines/{ENGINE}/replay/{replay_id}").json()
    return state if state["status"] != "in_progress" else {}


def test_an_engine_is_replayed_over_what_the_server_knows(admin: httpx.Client) -> None:
    told = admin.post(f"/engines/{ENGINE}/replay", json=order())
    assert told.status_code == 202
    busy = admin.post(f"/engines/{ENGINE}/replay", json=order())
    assert busy.status_code == 202 or busy.json()["type"].endswith("replay-busy")
    state = until(partial(ended, admin, told.json()["replay_id"]))
    assert state["status"] == "completed", state["reason"]
    (found,) = state["results"]
    assert found["predicted_by"].startswith("spot-interruption:v1, origin ")
    by_engine = {standing["engine_id"]: standing for standing in found["engines"]}
    assert by_engine.keys() == {ENGINE, "on_demand_only", "cheapest_pool"}
    assert by_engine[ENGINE]["total_usd"] < by_engine["on_demand_only"]["total_usd"]
    assert by_engine[ENGINE]["against"]["on_demand_only"]["value"] < 1
    assert all(standing["violations"] == 0 and standing["unmet_hours"] == 0 for standing in by_engine.values())
    assert found["omniscient_usd"] <= min(standing["total_usd"] for standing in by_engine.values())


def test_a_replay_is_cancelled(admin: httpx.Client) -> None:
    def ordered() -> dict[str, Any]:
        answer = admin.post(f"/engines/{ENGINE}/replay", json=order(days=20, draws=20))
        return answer.json() if answer.status_code == 202 else {}

    told = until(ordered)
    admin.delete(f"/engines/{ENGINE}/replay/{told['replay_id']}")
    state = until(partial(ended, admin, told["replay_id"]))
    assert (state["status"], state["reason"]) == ("failed", "cancelled")


@pytest.mark.parametrize(
    "fields",
    [
        {"end": "2020-01-01T00:00:00Z"},
        {"start": "2020-01-01T00:00:00Z"},
        {"start": "yesterday"},
        {"draws": 21},
        {"interruption_node_hours": []},
        {"interruption_node_hours": [-1]},
        {"workloads": [{"name": "w", "requirements": {"vcpu": -1}}]},
        {"until": "then"},
    ],
)
def test_orders_that_cannot_be_meant(admin: httpx.Client, fields: dict[str, Any]) -> None:
    problem(admin.post(f"/engines/{ENGINE}/replay", json=order() | fields), 422)


def test_unknown_engines_and_replays(admin: httpx.Client) -> None:
    problem(admin.post("/engines/nobody/replay", json=order()), 404, "engine-not-found")
    problem(admin.post(f"/engines/{ENGINE}/replay", json=order(beside=["nobody"])), 404, "engine-not-found")
    problem(admin.get(f"/engines/{ENGINE}/replay/replay-0"), 404, "replay-not-found")
    problem(admin.delete(f"/engines/{ENGINE}/replay/replay-0"), 404, "replay-not-found")


def test_only_operators_order_replays(served: Served) -> None:
    with served.client("invoker") as invoker:
        problem(invoker.post(f"/engines/{ENGINE}/replay", json=order()), 403)


@pytest.fixture
def frontend(admin: httpx.Client) -> Iterator[str]:
    """A registered cluster that the loop decides for."""
    admin.put("/clusters/replay-frontend", json=FRONTEND | {"cluster_id": "replay-frontend"})
    yield "replay-frontend"
    admin.delete("/clusters/replay-frontend")


def test_a_past_decision_is_made_again_bit_for_bit(admin: httpx.Client, frontend: str) -> None:
    def told() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = admin.get("/decisions/history", params={"cluster_id": frontend}).json()[
            "decisions"
        ]
        return rows

    row = until(told)[0]
    again = admin.post(f"/decisions/history/{row['seq']}/reissue").json()
    assert again["identical"] is True
    assert again["decision"] == row["decision"]
    assert again["input_sha256"] == row["made_by"]["input_sha256"]
    problem(admin.post("/decisions/history/999999999/reissue"), 404, "decision-unknown")


def test_why_a_pool_was_not_chosen(admin: httpx.Client, frontend: str) -> None:
    decided = admin.post("/decision/spot-optimize", json={"cluster_id": frontend}).json()
    targets = [a["target"] for a in decided["recommendations"] if a["target"] and a["target"]["count"]]
    chosen = {f"{t['region']}/{t['availability_zone']}/{t['instance_type']}/Linux/UNIX" for t in targets}
    limits = {"allowed_availability_zones": [targets[0]["availability_zone"] + "x"]}
    asked = {"cluster_id": frontend, "pool_id": sorted(chosen)[0], "constraints": limits}
    answer = admin.post("/decision/why-not", json=asked).json()
    assert answer["known"]
    assert not answer["chosen"]
    assert answer["bound_by"][0]["constraint"] == "allowed_availability_zones"
    assert answer["ways"][0]["changes"][0]["field"] == "constraints.allowed_availability_zones"
    unknown = admin.post("/decision/why-not", json={"cluster_id": frontend, "pool_id": "nowhere"}).json()
    assert (unknown["known"], unknown["ways"]) == (False, [])
    problem(admin.post("/decision/why-not", json={"cluster_id": "nobody", "pool_id": "p"}), 404, "cluster-unknown")
