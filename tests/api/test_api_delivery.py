"""A server with a central platform: clusters come from there, decisions go there, and a warning is decided at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from examples.clusters import sample_clusters
from tests.api.api_server import Served, serving, settings_for, until
from tests.api.api_steps import problem
from tests.platform_server import Platform, central_platform

STATE: dict[str, Any] = sample_clusters(datetime.now(UTC))["shop-frontend"]


@dataclass(frozen=True)
class Connected:
    """A server whose second tick comes in an hour."""

    served: Served
    platform: Platform


@pytest.fixture(scope="module")
def connected(market: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connected]:
    with central_platform() as platform:
        settings = settings_for(
            tmp_path_factory.mktemp("connected"),
            LIVE_INTERVAL_SECONDS="3600",
            CENTRAL_PLATFORM_URL=platform.url,
            CENTRAL_PLATFORM_API_KEY="the key of the platform",
            CENTRAL_PLATFORM_PULL_SECONDS="0.2",
        )
        with serving(settings) as served:
            until(lambda: served.house.board.block is not None)
            yield Connected(served, platform)


@pytest.fixture
def api(connected: Connected) -> Iterator[httpx.Client]:
    with connected.served.client("admin") as client:
        yield client


def warning(instance_id: str) -> dict[str, Any]:
    return {
        "version": "0",
        "id": f"of {instance_id}",
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "source": "aws.ec2",
        "account": "123456789012",
        "time": datetime.now(UTC).isoformat(),
        "region": "us-east-1",
        "resources": [],
        "detail": {"instance-id": instance_id, "instance-action": "terminate"},
    }


def test_clusters_come_from_the_platform_and_go_with_it(connected: Connected, api: httpx.Client) -> None:
    connected.platform.clusters = [{**STATE, "cluster_id": "pulled"}]
    until(lambda: api.get("/clusters/pulled").status_code == 200)
    connected.platform.clusters = []
    until(lambda: api.get("/clusters/pulled").status_code == 404)
    connected.platform.clusters = None


def test_a_warning_is_decided_for_at_once_and_delivered(connected: Connected, api: httpx.Client) -> None:
    nodes = [{**node, "capacity_type": "spot"} for node in STATE["nodes"]]
    node = nodes[0]["node_id"]
    api.put("/clusters/struck", json={**STATE, "cluster_id": "struck", "nodes": nodes})
    assert api.get("/decisions/latest", params={"cluster_id": "struck"}).json()["decisions"] == []
    answer = api.post("/events/interruptions", json=warning(node))
    assert answer.status_code == 200, answer.text
    sent = until(lambda: [one for one in connected.platform.received if one.body["cluster_id"] == "struck"])
    assert sent[0].authorization == "Bearer the key of the platform"
    latest = api.get("/decisions/latest", params={"cluster_id": "struck"}).json()["decisions"][0]
    assert sent[0].key == sent[0].body["decision_id"] == latest["decision_id"]
    assert sent[0].body["decision"] == latest["decision"]
    moved = [action for action in latest["decision"]["recommendations"] if node in action["node_ids"]]
    assert [action["type"] for action in moved] != ["hold"], "the node is about to go"
    told = api.get(connected.served.address + "/readyz").json()["parts"]["central_platform"]
    assert told["ready"] is True
    until(lambda: "0 decisions wait" in api.get(connected.served.address + "/readyz").text)
    metrics = api.get(connected.served.address + "/metrics").text
    assert 'cloudoptim_deliveries_total{result="delivered"}' in metrics
    assert api.get("/clusters/struck").json()["nodes"][0]["interruption_notice_at"] is not None
    api.delete("/clusters/struck")
    problem(api.get("/clusters/struck"), 404)
