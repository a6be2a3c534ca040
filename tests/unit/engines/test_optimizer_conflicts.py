"""Conflicts: the sets that are named do conflict, and none of their members could be left out."""

from random import Random

import pytest

from engines import samples
from engines.builtin.spot_optimizer.conflicts import freed, in_force
from engines.builtin.spot_optimizer_v1 import SpotOptimizerV1
from engines.contract import Cluster, Conflict, Constraints, DecisionInput, PodGroup, PoolFacts, Requirements
from tests.unit.engines import engine_inputs as small


def conflicts(cluster: Cluster, known: tuple[PoolFacts, ...]) -> tuple[Conflict, ...]:
    given = DecisionInput(as_of=samples.AS_OF, market_id="sim:1", clusters=(cluster,), pools=known)
    return SpotOptimizerV1().decide(given).decisions[0].conflicts


def only(cluster: Cluster, names: tuple[str, ...]) -> Cluster:
    """The cluster with these requirements and constraints and no others."""
    for name in in_force(cluster):
        if name not in names:
            cluster = freed(cluster, name)
    return cluster


@pytest.mark.parametrize(
    ("requirements", "constraints", "expected"),
    [
        (
            Requirements(vcpu=100),
            Constraints(budget_usd_per_hour=0.5, allowed_families=("m5",)),
            ("vcpu", "budget_usd_per_hour", "cross_region_allowed"),
        ),
        (Requirements(vcpu=8, max_nodes=1), Constraints(allowed_families=("m5",)), None),
        (Requirements(vcpu=64, max_nodes=2), Constraints(min_pools=2), ("vcpu", "max_nodes")),
        (Requirements(gpus=1), Constraints(min_on_demand_share=0.5), ("gpus",)),
        (Requirements(vcpu=4), Constraints(allowed_families=("c5",), min_pools=2), ("vcpu", "allowed_families")),
        (
            Requirements(pods=(PodGroup(name="p", cpu=12, memory_gib=1, replicas=1),)),
            Constraints(budget_usd_per_hour=0.2),
            ("pods", "budget_usd_per_hour"),
        ),
    ],
)
def test_the_conflict_is_named_without_bystanders(
    requirements: Requirements, constraints: Constraints, expected: tuple[str, ...] | None
) -> None:
    found = conflicts(Cluster(cluster_id="c", requirements=requirements, constraints=constraints), small.pools())
    named = [set(conflict.constraints) - {"cross_region_allowed"} for conflict in found]
    assert named == ([set(expected) - {"cross_region_allowed"}] if expected else [])


def test_conflicts_are_conflicts_and_minimal_on_random_clusters() -> None:
    seen = 0
    for seed in range(100):
        random = Random(seed)
        known = samples.pools(random, 12)
        cluster = samples.cluster(random, most_nodes=3)
        for conflict in conflicts(cluster, known):
            seen += 1
            alone = only(cluster, conflict.constraints)
            assert conflicts(alone, known), f"{conflict.constraints} of seed {seed} do not conflict"
            for name in conflict.constraints[1:]:
                assert not conflicts(freed(alone, name), known), f"{name} of seed {seed} is not needed"
    assert seen > 15
