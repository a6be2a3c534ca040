"""How long one decision takes: 1,000 nodes over 500 pools, and smaller ones: `python -m bench.optimizer [RUNS]`."""

import sys
import time
from datetime import timedelta
from random import Random

from engines.builtin.spot_optimizer_v1 import SpotOptimizerV1
from engines.contract import Cluster, Constraints, DecisionInput, Node, PoolFacts, Requirements
from engines.samples import AS_OF

_FAMILIES = (("c5", 2.0), ("c5a", 2.0), ("c4", 2.0), ("m5", 4.0), ("m5a", 4.0), ("m4", 4.0), ("r5", 8.0), ("r5a", 8.0))
_SIZES = (("large", 2), ("xlarge", 4), ("2xlarge", 8), ("4xlarge", 16), ("8xlarge", 32), ("12xlarge", 48))
_ZONES = tuple(f"us-east-1{letter}" for letter in "abcdefghijk")


def pools(random: Random, most: int) -> tuple[PoolFacts, ...]:
    """`most` pools of one region, each with its own price and prediction."""
    places = [(zone, family, gib, size, vcpu) for zone in _ZONES for family, gib in _FAMILIES for size, vcpu in _SIZES]
    return tuple(_pool(random, *place) for place in random.sample(places, most))


def _pool(random: Random, zone: str, family: str, gib: float, size: str, vcpu: int) -> PoolFacts:
    on_demand = round(vcpu * (0.0425 + 0.0028 * gib), 4)
    return PoolFacts(
        pool_id=f"us-east-1/{zone}/{family}.{size}/Linux/UNIX",
        region="us-east-1",
        availability_zone=zone,
        instance_type=f"{family}.{size}",
        price=round(on_demand * random.uniform(0.25, 0.7), 6),
        on_demand_price=on_demand,
        vcpu=vcpu,
        memory_gib=vcpu * gib,
        interruption_probability=random.choice([0.0001, 0.001, 0.01, 0.05]),
        confidence=random.uniform(0.5, 1.0),
        features={f"feature_{i}": random.random() for i in range(20)},
        data_as_of=AS_OF - timedelta(minutes=5),
    )


def cluster(random: Random, known: tuple[PoolFacts, ...], nodes: int) -> Cluster:
    """A cluster of `nodes` that all differ in what they request and use."""
    return Cluster(
        cluster_id="bench",
        nodes=tuple(_node(random, f"n{i}", random.choice(known)) for i in range(nodes)),
        requirements=Requirements(min_nodes=nodes // 2),
        constraints=Constraints(min_on_demand_share=0.2, min_pools=5, max_interruption_probability=0.03),
    )


def _node(random: Random, name: str, pool: PoolFacts) -> Node:
    asked, used = round(random.uniform(0.2, 0.95), 3), round(random.uniform(0.05, 0.9), 3)
    return Node.model_validate(
        {
            "node_id": name,
            "region": pool.region,
            "availability_zone": pool.availability_zone,
            "instance_type": pool.instance_type,
            "capacity_type": random.choice(["on_demand", "on_demand", "spot"]),
            "capacity": {"vcpu": pool.vcpu, "memory_gib": pool.memory_gib},
            "requested": {"cpu": asked, "memory": round(random.uniform(0.2, 0.95), 3)},
            "utilisation": {
                "cpu_p50": used / 2,
                "cpu_p95": used,
                "memory_p50": used / 2,
                "memory_p95": used,
                "window_hours": 168.0,
            }
            if random.random() < 0.7
            else None,
            "do_not_disrupt": random.random() < 0.05,
        }
    )


def main() -> None:
    """Print the median and the longest of each size, and the processor time: a busy machine adds to the others."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    engine = SpotOptimizerV1()
    for nodes, offered in ((10, 100), (100, 500), (1_000, 500)):
        took, worked = [], []
        for seed in range(runs):
            random = Random(seed)
            known = pools(random, offered)
            given = DecisionInput(
                as_of=AS_OF, market_id="sim:1", clusters=(cluster(random, known, nodes),), pools=known
            )
            began, busy = time.perf_counter(), time.process_time()
            engine.decide(given)
            took.append((time.perf_counter() - began) * 1e3)
            worked.append((time.process_time() - busy) * 1e3)
        middle, busy = sorted(took)[runs // 2], sorted(worked)[runs // 2]
        print(
            f"{nodes:5} nodes, {offered} pools: median {middle:.0f} ms, longest {max(took):.0f} ms, "
            f"of processor time {busy:.0f} ms"
        )


if __name__ == "__main__":
    main()
