"""Decision inputs to try engines on: random ones, and the extreme ones that real life brings sooner or later."""

import functools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from random import Random

from engines.contract import (
    Cluster,
    Constraints,
    DecisionInput,
    Node,
    PoolFacts,
    Requested,
    Requirements,
    Resources,
    Utilisation,
)

AS_OF = datetime(2026, 1, 15, 12, tzinfo=UTC)
# (type, vCPU, GiB, GPUs, architecture, on-demand USD per hour): us-east-1 list prices, rounded.
_SIZES = (("large", 2.0), ("xlarge", 4.0), ("2xlarge", 8.0), ("4xlarge", 16.0))
_FAMILIES = (
    ("c5", 2.0, "x86_64", 0.085),
    ("m5", 4.0, "x86_64", 0.096),
    ("r5", 8.0, "x86_64", 0.126),
    ("m6g", 4.0, "arm64", 0.077),
)
_TYPES = (
    *((f"{f}.{s}", vcpu, vcpu * gib, 0, arch, usd * vcpu / 2) for f, gib, arch, usd in _FAMILIES for s, vcpu in _SIZES),
    ("g4dn.xlarge", 4.0, 16.0, 1, "x86_64", 0.526),
)
_REGIONS = ("us-east-1", "eu-west-1")
_ZONES = "abc"


def pools(random: Random, most: int = 200) -> tuple[PoolFacts, ...]:
    """Return up to `most` distinct pools with random prices and predictions, some of them unknown."""
    places = [(r, r + z, t) for r in _REGIONS for z in _ZONES for t in _TYPES]
    picked = random.sample(places, min(most, len(places)))
    return tuple(_pool(random, *place) for place in picked)


def _pool(random: Random, region: str, zone: str, kind: tuple[str, float, float, int, str, float]) -> PoolFacts:
    name, vcpu, gib, gpus, architecture, usd = kind
    return PoolFacts.model_validate(
        {
            "pool_id": f"{region}/{zone}/{name}/Linux/UNIX",
            "region": region,
            "availability_zone": zone,
            "instance_type": name,
            "price": round(usd * random.uniform(0.2, 1.05), 6),
            "on_demand_price": usd if random.random() < 0.95 else None,
            "vcpu": vcpu,
            "memory_gib": gib,
            "gpus": gpus,
            "gpu_model": "T4" if gpus else None,
            "architecture": architecture,
            "interruption_probability": random.choice([0.0, 0.001, 0.02, 0.2, 1.0, None]),
            "horizon_hours": random.choice([1.0, 24.0]),
            "confidence": random.choice([None, 0.0, 0.5, 1.0]),
            "features": {"price_std_24h": random.choice([None, 0.0, 0.001, 5.0])},
            "data_as_of": AS_OF - timedelta(minutes=random.randint(0, 30)),
        }
    )


def cluster(random: Random, name: str = "c", most_nodes: int = 12) -> Cluster:
    """Return a cluster with random nodes, requirements and constraints; now and then a fresh one."""
    nodes = tuple(_node(random, f"n{i}") for i in range(random.randint(0, most_nodes)))
    return Cluster(
        cluster_id=name,
        nodes=nodes,
        requirements=_requirements(random, nodes),
        constraints=_constraints(random),
    )


def _node(random: Random, name: str) -> Node:
    kind, vcpu, gib, gpus, architecture, _ = random.choice(_TYPES)
    region = random.choice(_REGIONS)
    capacity_type = random.choice(["spot", "on_demand"])
    use = Utilisation(
        cpu_p50=0.05,
        cpu_p95=round(random.uniform(0.05, 1), 3),
        memory_p50=0.05,
        memory_p95=round(random.uniform(0.05, 1), 3),
        window_hours=random.choice([1.0, 168.0]),
    )
    return Node.model_validate(
        {
            "node_id": name,
            "region": region,
            "availability_zone": region + random.choice(_ZONES),
            "instance_type": kind,
            "capacity_type": capacity_type,
            "architecture": architecture,
            "capacity": Resources(vcpu=vcpu, memory_gib=gib, gpus=gpus),
            "requested": Requested(
                cpu=round(random.random(), 3), memory=round(random.random(), 3), gpus=random.randint(0, gpus)
            ),
            "utilisation": use if random.random() < 0.7 else None,
            "stateful": random.random() < 0.1,
            "do_not_disrupt": random.random() < 0.1,
            "price": random.choice([None, None, 0.1]),
            "interruption_notice_at": AS_OF if capacity_type == "spot" and random.random() < 0.1 else None,
        }
    )


# How often each requirement and constraint is set: rarely enough that most clusters have something to gain.
_SET = 0.15


def _requirements(random: Random, nodes: tuple[Node, ...]) -> Requirements:
    have = sum(node.capacity.vcpu for node in nodes)
    fresh = {"vcpu": random.choice([0.0, 7.0, 64.0]), "memory_gib": random.choice([0.0, 100.0])}
    values = {
        "vcpu": random.choice([have / 2, have, have + 8]),
        "memory_gib": 32.0,
        "min_nodes": len(nodes) + random.randint(0, 1),
        "max_nodes": max(1, len(nodes)),
        "min_node_vcpu": 4.0,
        "architecture": "x86_64",
    }
    return Requirements.model_validate(({} if nodes else fresh) | _some(random, values))


def _constraints(random: Random) -> Constraints:
    values = {
        "min_on_demand_share": random.choice([0.3, 1.0]),
        "max_interruption_probability": random.choice([0.1, 0.0]),
        "interruption_horizon_hours": 6.0,
        "allowed_regions": random.choice([("us-east-1",), ()]),
        "allowed_availability_zones": ("us-east-1a", "eu-west-1b"),
        "allowed_families": ("m5", "c5"),
        "allowed_architectures": ("arm64",),
        "min_pools": random.choice([2, 4]),
        "max_concurrent_disruptions": 3,
        "budget_usd_per_hour": random.choice([0.0, 0.5, 5.0]),
        "min_savings_percent": 20.0,
        "min_savings_usd_per_hour": 0.05,
        "deadline": AS_OF + random.choice([timedelta(hours=-1), timedelta(minutes=35)]),
        "cross_region_allowed": True,
    }
    return Constraints.model_validate(_some(random, values))


def _some(random: Random, values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if random.random() < _SET}


def inputs(seed: int, count: int) -> Iterator[DecisionInput]:
    """Yield `count` random inputs that follow from `seed`."""
    random = Random(seed)
    for _ in range(count):
        yield random_input(random)


def random_input(random: Random) -> DecisionInput:
    """Return one random input: up to two clusters, up to 102 pools."""
    return DecisionInput(
        as_of=AS_OF,
        market_id="sim:1",
        clusters=tuple(cluster(random, f"c{i}") for i in range(random.randint(1, 2))),
        pools=pools(random, random.choice([0, 5, 40, 200])),
    )


@functools.cache
def sample_input() -> DecisionInput:
    """Return a small input with something to decide: what an engine is tried on before it is selected."""
    random = Random(3)
    fresh = Cluster(cluster_id="fresh", requirements=Requirements(vcpu=8, memory_gib=32, min_nodes=2))
    return DecisionInput(
        as_of=AS_OF, market_id="sim:1", clusters=(cluster(random, "running"), fresh), pools=pools(random, 40)
    )


def extremes() -> dict[str, DecisionInput]:
    """Return inputs that are valid and extreme, by what is extreme about them."""
    random = Random(7)
    some, one = pools(random), cluster(random, most_nodes=8)
    tiny = tuple(pool.model_copy(update={"price": 1e-9, "on_demand_price": 1e9}) for pool in some)
    certain = tuple(pool.model_copy(update={"interruption_probability": 1.0, "horizon_hours": 1e-3}) for pool in some)
    wanting = Cluster(cluster_id="fresh", requirements=Requirements(vcpu=1e6, memory_gib=1e7))
    impossible = one.model_copy(update={"constraints": Constraints(allowed_regions=(), max_interruption_probability=0)})

    def given(clusters: tuple[Cluster, ...], known: tuple[PoolFacts, ...]) -> DecisionInput:
        return DecisionInput(as_of=AS_OF, market_id="sim:1", clusters=clusters, pools=known)

    return {
        "no clusters": given((), some),
        "no pools": given((one, wanting), ()),
        "an empty cluster that asks for nothing": given((Cluster(cluster_id="empty"),), some),
        "every pool twice": given((one,), some + some),
        "prices near nothing": given((one,), tiny),
        "certain interruption": given((one,), certain),
        "a million vCPUs": given((wanting,), some),
        "nothing is allowed": given((impossible,), some),
        "a thousand nodes": given((Cluster(cluster_id="big", nodes=_many(random, 1_000)),), some),
    }


def _many(random: Random, count: int) -> tuple[Node, ...]:
    return tuple(_node(random, f"n{i}") for i in range(count))
