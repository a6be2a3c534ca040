"""Clusters, decisions on request and in the live loop, and the engine that makes them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from examples.clusters import sample_clusters
from tests.api.api_server import until
from tests.api.api_steps import problem

CLUSTERS = sample_clusters(datetime.now(UTC))
FRONTEND = CLUSTERS["shop-frontend"]


@pytest.fixture
def frontend(admin: httpx.Client) -> Iterator[str]:
    """A registered cluster that runs on demand what could run on spot."""
    admin.put("/clusters/shop-frontend", json=FRONTEND)
    yield "shop-frontend"
    admin.delete("/clusters/shop-frontend")


def test_a_cluster_is_put_read_replaced_and_deleted(admin: httpx.Client) -> None:
    state = {name: value for name, value in FRONTEND.items() if name != "cluster_id"}
    assert admin.put("/clusters/one", json=state).status_code == 201
    read = admin.get("/clusters/one").json()
    assert read["cluster_id"] == "one"
    assert [node["node_id"] for node in read["nodes"]] == [node["node_id"] for node in FRONTEND["nodes"]]
    assert admin.put("/clusters/one", json=state | {"nodes": []}).status_code == 200
    assert admin.get("/clusters/one").json()["nodes"] == []
    assert {"cluster_id": "one", "nodes": 0}.items() <= admin.get("/clusters").json()[0].items()
    assert admin.delete("/clusters/one").json() == {"cluster_id": "one", "deleted": True}
    problem(admin.get("/clusters/one"), 404, "cluster-unknown")
    problem(admin.delete("/clusters/one"), 404, "cluster-unknown")


@pytest.mark.parametrize(
    "state",
    [
        {"cluster_id": "another"},
        {"nodes": [FRONTEND["nodes"][0], FRONTEND["nodes"][0]]},
        {"nodes": [FRONTEND["nodes"][0] | {"capacity": {"vcpu": 0, "memory_gib": 8}}]},
        {"nodes": [FRONTEND["nodes"][0] | {"requested": {"cpu": 1.5, "memory": 0.5}}]},
        {"nodes": [FRONTEND["nodes"][0] | {"launched_at": "0001-01-01T00:00:00+23:59"}]},
        {"nodes": [FRONTEND["nodes"][0] | {"launched_at": "2026-01-01T00:00:00"}]},
        {"requirements": {"vcpu": -1}},
        {"constraints": {"max_interruption_probability": 2}},
        {"constraints": {"max_price": 1}},
        {"product_description": ""},
    ],
)
def test_states_that_cannot_be_meant(admin: httpx.Client, state: dict[str, Any]) -> None:
    problem(admin.put("/clusters/never", json=state), 422)
    problem(admin.get("/clusters/never"), 404)


def test_a_decision_for_a_registered_cluster(admin: httpx.Client, frontend: str) -> None:
    told = admin.post("/decision/spot-optimize", json={"cluster_id": frontend}).json()
    assert told["cluster_id"] == frontend
    assert told["simulated"] is True
    assert told["made_by"]["engine_id"] == "spot_optimizer_v1"
    nodes = [name for action in told["recommendations"] for name in action["node_ids"]]
    assert sorted(nodes) == sorted(node["node_id"] for node in FRONTEND["nodes"])
    moves = [action for action in told["recommendations"] if action["type"] == "move_to_spot"]
    assert moves
    assert told["estimated_savings"]["p50"] > 0
    for action in moves:
        assert action["target"]["capacity_type"] == "spot"
        assert action["risk"]["horizon_hours"] == 24
        assert action["risk"]["probability"] <= 0.5
        assert datetime.fromisoformat(action["valid_until"]) > datetime.now(UTC)
    steps = told["execution_plan"]["steps"]
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    assert steps[0]["type"] == "revalidate"


def test_what_is_sent_beside_a_cluster_holds_for_this_decision_only(admin: httpx.Client, frontend: str) -> None:
    strict = {"cluster_id": frontend, "constraints": {"min_on_demand_share": 1}}
    told = admin.post("/decision/spot-optimize", json=strict).json()
    assert {action["type"] for action in told["recommendations"]}.isdisjoint({"move_to_spot"})
    again = admin.post("/decision/spot-optimize", json={"cluster_id": frontend}).json()
    assert "move_to_spot" in {action["type"] for action in again["recommendations"]}


def test_a_decision_for_a_cluster_that_is_yet_to_be_launched(admin: httpx.Client) -> None:
    ask = {
        "cluster_id": "fresh",
        "requirements": {"vcpu": 12, "memory_gib": 48, "min_nodes": 3},
        "constraints": {"allowed_regions": ["eu-west-1"], "min_pools": 2},
    }
    told = admin.post("/decision/spot-optimize", json=ask).json()
    launches = [action["target"] for action in told["recommendations"] if action["target"]]
    assert sum(target["count"] for target in launches) >= 3
    assert {target["region"] for target in launches} == {"eu-west-1"}
    assert len({(target["availability_zone"], target["instance_type"]) for target in launches}) >= 2
    known = admin.get("/clusters/fresh").json()
    assert known["requirements"]["vcpu"] == 12, "whoever asks is known for a day"
    assert admin.post("/decision/spot-optimize", json={"cluster_id": "fresh"}).status_code == 200
    admin.delete("/clusters/fresh")
    problem(admin.get("/clusters/fresh"), 404)


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        ({"cluster_id": "nobody"}, 404),
        ({}, 422),
        ({"cluster_id": ""}, 422),
        ({"cluster_id": "x" * 256, "requirements": {}}, 422),
        ({"cluster_id": "x", "requirements": {"vcpu": "many"}}, 422),
        ({"cluster_id": "x", "requirements": {}, "constraints": {"min_on_demand_share": -0.1}}, 422),
        ({"cluster_id": "x", "requirements": {}, "constraints": {"deadline": "9999-12-31T23:59:59-23:59"}}, 422),
        ({"cluster_id": "x", "requirements": {}, "hurry": True}, 422),
    ],
)
def test_questions_that_cannot_be_meant(admin: httpx.Client, ask: dict[str, Any], status: int) -> None:
    problem(admin.post("/decision/spot-optimize", json=ask), status)


def test_the_loop_decides_for_a_cluster_from_the_next_tick_on(admin: httpx.Client, frontend: str) -> None:
    def latest() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = admin.get("/decisions/latest", params={"cluster_id": frontend}).json()[
            "decisions"
        ]
        return found

    (row,) = until(latest, 20)
    assert row["decision"]["cluster_id"] == frontend
    assert row["made_by"]["engine_id"] == "spot_optimizer_v1"
    target = next(action["target"] for action in row["decision"]["recommendations"] if action["target"])
    for asked, count in ((target["region"], 1), ("sa-east-1", 0)):
        found = admin.get("/decisions/latest", params={"region": asked, "cluster_id": frontend}).json()["decisions"]
        assert len(found) == count
    told = admin.get("/decisions/history", params={"cluster_id": frontend}).json()["decisions"]
    assert row["decision"] in [one["decision"] for one in told]
    seqs = [one["seq"] for one in told]
    assert seqs == sorted(seqs, reverse=True)
    older = admin.get("/decisions/history", params={"before": seqs[0], "limit": 1}).json()["decisions"]
    assert all(one["seq"] < seqs[0] for one in older)


def test_nothing_stands_for_a_cluster_that_is_gone(admin: httpx.Client) -> None:
    admin.put("/clusters/short-lived", json={"nodes": FRONTEND["nodes"]})
    asked = {"cluster_id": "short-lived"}
    until(lambda: admin.get("/decisions/latest", params=asked).json()["decisions"], 20)
    admin.delete("/clusters/short-lived")
    until(lambda: admin.get("/decisions/latest", params=asked).status_code == 404, 5)
    assert admin.get("/decisions/history", params=asked).json()["decisions"]


def test_predictions_for_the_pools_that_a_cluster_uses(admin: httpx.Client, frontend: str) -> None:
    told = admin.get("/predictions/latest", params={"cluster_id": frontend}).json()
    used = {(node["availability_zone"], node["instance_type"]) for node in FRONTEND["nodes"]}
    assert {(row["availability_zone"], row["instance_type"]) for row in told["predictions"]} == used


# Engines


def test_engines_and_their_schemas(admin: httpx.Client) -> None:
    engines = {row["engine_id"]: row for row in admin.get("/engines/list").json()}
    assert engines["spot_optimizer_v1"]["active"] is True
    assert engines["on_demand_only"]["active"] is False
    metadata = admin.get("/engines/spot_optimizer_v1/metadata").json()
    assert metadata["engine_id"] == "spot_optimizer_v1"
    assert metadata["description"]
    for schema in ("input_schema", "output_schema", "config_schema"):
        assert metadata[schema]["type"] == "object"
    assert set(metadata["config_defaults"]) == set(metadata["config_schema"]["properties"])
    told = problem(admin.get("/engines/spot_optimiser_v1/metadata"), 404, "engine-not-found")
    assert told["nearest"] == ["spot_optimizer_v1"]


def test_another_engine_decides_once_it_is_selected(admin: httpx.Client, frontend: str) -> None:
    before = admin.post("/decision/spot-optimize", json={"cluster_id": frontend}).json()["made_by"]
    try:
        told = admin.post("/engines/select", json={"engine_id": "on_demand_only", "config": {"valid_minutes": 3}})
        assert told.json()["config"]["valid_minutes"] == 3
        after = admin.post("/decision/spot-optimize", json={"cluster_id": frontend}).json()
        assert after["made_by"]["engine_id"] == "on_demand_only"
        assert after["made_by"]["generation"] > before["generation"]
        targets = [action["target"] for action in after["recommendations"] if action["target"]]
        assert all(target["capacity_type"] == "on_demand" for target in targets)
    finally:
        back = admin.post("/engines/select", json={"engine_id": "spot_optimizer_v1"})
    assert back.json()["engine_id"] == "spot_optimizer_v1"


def test_selections_that_cannot_be_meant(admin: httpx.Client) -> None:
    wrong = {"engine_id": "spot_optimizer_v1", "config": {"max_fill": 7, "colour": "blue"}}
    told = problem(admin.post("/engines/select", json=wrong), 422, "engine-config-invalid")
    assert {place["field"] for place in told["errors"]} == {"max_fill", "colour"}
    told = problem(admin.post("/engines/select", json={"engine_id": "spot_optimizer"}), 404, "engine-not-found")
    assert told["nearest"] == ["spot_optimizer_v1"]
    problem(admin.post("/engines/select", json={}), 422)
    assert admin.get("/engines/list").json()[0]["engine_id"]
