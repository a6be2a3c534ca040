"""Small decision inputs for engine tests, each value stated by the test that it matters to."""

from datetime import UTC, datetime
from typing import Any

from engines.contract import Cluster, DecisionInput, Node, PoolFacts, Requested, Resources, Utilisation

AS_OF = datetime(2026, 3, 2, 12, tzinfo=UTC)
# vCPU, GiB and on-demand USD per hour in us-east-1.
SIZES = {
    "m5.large": (2.0, 8.0, 0.096),
    "m5.xlarge": (4.0, 16.0, 0.192),
    "m5.2xlarge": (8.0, 32.0, 0.384),
    "m5.4xlarge": (16.0, 64.0, 0.768),
}


def pool(instance_type: str, zone: str = "a", *, price: float | None = None, **facts: Any) -> PoolFacts:
    """A pool of us-east-1, by default at 40 % of on demand with 1 % interruptions an hour."""
    vcpu, memory, on_demand = SIZES[instance_type]
    place = f"us-east-1{zone}"
    return PoolFacts.model_validate(
        {
            "pool_id": f"us-east-1/{place}/{instance_type}/Linux/UNIX",
            "region": "us-east-1",
            "availability_zone": place,
            "instance_type": instance_type,
            "price": 0.4 * on_demand if price is None else price,
            "on_demand_price": on_demand,
            "vcpu": vcpu,
            "memory_gib": memory,
            "interruption_probability": 0.01,
            "confidence": 0.8,
            "data_as_of": AS_OF,
            **facts,
        }
    )


def pools(zones: str = "abc") -> tuple[PoolFacts, ...]:
    """One pool per type and zone."""
    return tuple(pool(name, zone) for name in SIZES for zone in zones)


def node(
    node_id: str,
    instance_type: str,
    capacity_type: str = "on_demand",
    *,
    requested: float = 0.85,
    used: float | None = None,
    **fields: Any,
) -> Node:
    """A node in us-east-1a with the same share requested of CPU and memory; `used` is its p95, None for unknown."""
    vcpu, memory, _ = SIZES[instance_type]
    use = None
    if used is not None:
        use = Utilisation(cpu_p50=used / 2, cpu_p95=used, memory_p50=used / 2, memory_p95=used, window_hours=168)
    return Node.model_validate(
        {
            "node_id": node_id,
            "region": "us-east-1",
            "availability_zone": "us-east-1a",
            "instance_type": instance_type,
            "capacity_type": capacity_type,
            "capacity": Resources(vcpu=vcpu, memory_gib=memory),
            "requested": Requested(cpu=requested, memory=requested),
            "utilisation": use,
            **fields,
        }
    )


def given(*clusters: Cluster, known: tuple[PoolFacts, ...] | None = None, **config: Any) -> DecisionInput:
    """An input over `known` pools (by default `pools()`)."""
    facts = pools() if known is None else known
    return DecisionInput(as_of=AS_OF, market_id="sim:1", clusters=clusters, pools=facts, config=config)
