"""Two clusters to register with `PUT clusters/{cluster_id}`; their state calls for what the built-in engine can do.

    python -m examples.clusters      prints {cluster_id: body} as JSON

`shop-frontend` runs on demand what could run on spot, and one of its nodes is twice the size that its pods need.
`nightly-reports` is on spot already, but spread over more nodes than its load fills.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

_SIZES = {"m5.large": (2, 8), "m5.xlarge": (4, 16), "c5.large": (2, 4)}


def sample_clusters(now: datetime) -> dict[str, dict[str, Any]]:
    """The bodies by cluster_id, in the form of `engines.contract.Cluster`; launch times are relative to `now`."""
    clusters = (_frontend(now), _reports(now))
    return {cluster["cluster_id"]: cluster for cluster in clusters}


def _frontend(now: datetime) -> dict[str, Any]:
    nodes = [
        _node("web-1", "us-east-1a", "m5.large", "on_demand", 0.80, 0.70, now, days=40),
        _node("web-2", "us-east-1b", "m5.large", "on_demand", 0.78, 0.72, now, days=40),
        _node("web-3", "us-east-1c", "m5.large", "on_demand", 0.82, 0.69, now, days=12),
        _node("api-1", "us-east-1b", "m5.xlarge", "on_demand", 0.40, 0.40, now, days=25),
        _node("cache-1", "us-east-1a", "m5.xlarge", "on_demand", 0.75, 0.80, now, days=90) | {"stateful": True},
    ]
    return {
        "cluster_id": "shop-frontend",
        "nodes": nodes,
        "requirements": {"vcpu": 10, "memory_gib": 40, "min_nodes": 5},
        "constraints": {
            "min_on_demand_share": 0.25,
            "max_interruption_probability": 0.5,
            "min_pools": 2,
            "max_concurrent_disruptions": 1,
            "min_savings_percent": 10,
        },
    }


def _reports(now: datetime) -> dict[str, Any]:
    nodes = [
        _node("report-1", "us-west-2a", "m5.large", "spot", 0.35, 0.30, now, days=3),
        _node("report-2", "us-west-2b", "m5.large", "spot", 0.40, 0.35, now, days=5),
        _node("report-3", "us-west-2c", "m5.xlarge", "spot", 0.40, 0.35, now, days=2),
    ]
    return {
        "cluster_id": "nightly-reports",
        "nodes": nodes,
        "requirements": {"vcpu": 4, "memory_gib": 16},
        "constraints": {"max_interruption_probability": 0.6, "max_concurrent_disruptions": 2},
    }


def _node(
    node_id: str, zone: str, instance_type: str, bought: str, cpu: float, memory: float, now: datetime, *, days: int
) -> dict[str, Any]:
    """A node whose pods request the shares `cpu` and `memory` and, over two days, use up to 0.8 of that."""
    vcpu, memory_gib = _SIZES[instance_type]
    used = {
        "cpu_p50": round(cpu * 0.5, 3),
        "cpu_p95": round(cpu * 0.8, 3),
        "memory_p50": round(memory * 0.6, 3),
        "memory_p95": round(memory * 0.8, 3),
        "window_hours": 48,
    }
    return {
        "node_id": node_id,
        "region": zone[:-1],
        "availability_zone": zone,
        "instance_type": instance_type,
        "capacity_type": bought,
        "launched_at": (now - timedelta(days=days)).isoformat(),
        "capacity": {"vcpu": vcpu, "memory_gib": memory_gib},
        "requested": {"cpu": cpu, "memory": memory},
        "utilisation": used,
        "pods": 6,
    }


if __name__ == "__main__":
    json.dump(sample_clusters(datetime.now(UTC)), sys.stdout, indent=2)
