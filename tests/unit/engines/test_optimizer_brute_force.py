"""The optimiser against trying everything: fresh clusters and waiting pods, small enough to enumerate."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from engines.builtin.spot_optimizer.packing import patterns_for
from engines.builtin.spot_optimizer_v1 import SpotOptimizerV1
from engines.contract import Cluster, ClusterDecision, Constraints, DecisionInput, PodGroup, PoolFacts, Requirements
from engines.violations import violations
from tests.unit.engines import engine_inputs as small

# What one interruption costs in these tests (node-hours), and the probability of one within an hour.
COST_HOURS = 0.5


def some_pools(random: Random, most: int) -> tuple[PoolFacts, ...]:
    """Up to `most` pools in different zones, with random prices and risks."""
    kinds = random.sample([(t, z) for t in ("m5.large", "m5.xlarge", "m5.2xlarge") for z in "ab"], most)
    return tuple(
        small.pool(
            name,
            zone,
            price=round(small.SIZES[name][2] * random.uniform(0.2, 0.9), 4),
            interruption_probability=random.choice([0.0, 0.05, 0.4]),
        )
        for name, zone in kinds
    )


def spot_cost(pool: PoolFacts) -> float:
    hazard = -math.log1p(-(pool.interruption_probability or 0.0)) / pool.horizon_hours
    return pool.price + hazard * COST_HOURS * (pool.on_demand_price or 0.0)


def cost_of(decision: ClusterDecision, known: tuple[PoolFacts, ...]) -> float:
    """Expected cost of all launches, by this file's own arithmetic."""
    by_place = {(p.availability_zone, p.instance_type): p for p in known}
    total = 0.0
    for action in decision.recommendations:
        assert action.target is not None
        pool = by_place[(action.target.availability_zone, action.target.instance_type)]
        each = spot_cost(pool) if action.target.capacity_type == "spot" else pool.on_demand_price or 0.0
        total += each * action.target.count
    return total


def asked(cluster: Cluster, known: tuple[PoolFacts, ...], **config: float) -> tuple[DecisionInput, ClusterDecision]:
    given = small.given(cluster, known=known, **config)
    decision = SpotOptimizerV1().decide(given).decisions[0]
    assert violations(given, decision) == ()
    return given, decision


def keeps(cluster: Cluster, counts: tuple[int, ...], known: tuple[PoolFacts, ...], share: float) -> bool:
    """Whether so many nodes of each offer (spot pools, then on demand) keep every requirement and constraint."""
    needs, limits, n = cluster.requirements, cluster.constraints, len(known)
    spot, on_demand = counts[:n], counts[n:]
    both = [a + b for a, b in zip(spot, on_demand, strict=True)]
    vcpu = sum(c * p.vcpu for c, p in zip(both, known, strict=True))
    memory = sum(c * p.memory_gib for c, p in zip(both, known, strict=True))
    bought = sum(c * p.vcpu for c, p in zip(on_demand, known, strict=True))
    paid = sum(c * p.price for c, p in zip(spot, known, strict=True))
    paid += sum(c * (p.on_demand_price or 0.0) for c, p in zip(on_demand, known, strict=True))
    zones: Counter[str] = Counter()
    for count, pool in zip(spot, known, strict=True):
        zones[pool.availability_zone] += count
    total = sum(spot)
    joint = max(0.6, 1 / len({p.availability_zone for p in known}))
    return (
        vcpu >= needs.vcpu
        and memory >= needs.memory_gib
        and sum(counts) >= needs.min_nodes
        and bought >= limits.min_on_demand_share * vcpu - 1e-9
        and (limits.budget_usd_per_hour is None or paid <= limits.budget_usd_per_hour + 1e-9)
        and sum(1 for c in spot if c) >= min(limits.min_pools, total)
        and max(spot, default=0) <= math.ceil(max(share, 1 / n) * total - 1e-9)
        and max(zones.values(), default=0) <= math.ceil(joint * total - 1e-9)
    )


def counts_up_to(most: int, length: int) -> Iterator[tuple[int, ...]]:
    """Every tuple of that length of whole numbers that sum to `most` at the most."""
    if length == 0:
        yield ()
        return
    for first in range(most + 1):
        yield from ((first, *rest) for rest in counts_up_to(most - first, length - 1))


def best_of_all(cluster: Cluster, known: tuple[PoolFacts, ...], share: float, most: int) -> float:
    costs = [spot_cost(p) for p in known] + [p.on_demand_price or 0.0 for p in known]
    return min(
        (
            sum(c * usd for c, usd in zip(counts, costs, strict=True))
            for counts in counts_up_to(most, 2 * len(known))
            if keeps(cluster, counts, known, share)
        ),
        default=math.inf,
    )


@settings(max_examples=40, deadline=None)
@hypothesis_given(
    random=st.randoms(use_true_random=False),
    vcpu=st.sampled_from([2, 6, 9, 12]),
    memory=st.sampled_from([0, 20, 48]),
    min_nodes=st.sampled_from([0, 2]),
    on_demand=st.sampled_from([0.0, 0.3]),
    min_pools=st.sampled_from([1, 2]),
    budget=st.sampled_from([None, 0.4]),
)
def test_a_fresh_mix_is_the_cheapest_of_all(
    random: Random, vcpu: int, memory: int, min_nodes: int, on_demand: float, min_pools: int, budget: float | None
) -> None:
    known = some_pools(random, 3)
    cluster = Cluster(
        cluster_id="fresh",
        requirements=Requirements(vcpu=vcpu, memory_gib=memory, min_nodes=min_nodes),
        constraints=Constraints(min_on_demand_share=on_demand, min_pools=min_pools, budget_usd_per_hour=budget),
    )
    _, decision = asked(cluster, known)
    best = best_of_all(cluster, known, 0.5, 7)
    if best == math.inf:
        assert decision.conflicts
    else:
        assert cost_of(decision, known) == pytest.approx(best, abs=2e-5)


def placeable(pods: list[tuple[float, float]], nodes: list[tuple[float, float]]) -> bool:
    """Whether all pods fit the nodes, each whole, by trying every place for each."""
    if not pods:
        return True
    (cpu, memory), rest = pods[0], pods[1:]
    for i, (free_cpu, free_memory) in enumerate(nodes):
        if (free_cpu, free_memory) in nodes[:i]:
            continue
        if cpu <= free_cpu and memory <= free_memory:
            left = [*nodes[:i], (free_cpu - cpu, free_memory - memory), *nodes[i + 1 :]]
            if placeable(rest, left):
                return True
    return False


@settings(max_examples=40, deadline=None)
@hypothesis_given(
    random=st.randoms(use_true_random=False),
    groups=st.lists(
        st.tuples(st.sampled_from([0.5, 1.25, 3.0]), st.sampled_from([1.0, 5.0, 9.0]), st.integers(1, 3)),
        min_size=1,
        max_size=2,
    ),
)
def test_waiting_pods_are_packed_as_cheaply_as_can_be(random: Random, groups: list[tuple[float, float, int]]) -> None:
    known = some_pools(random, 3)
    waiting = tuple(
        PodGroup(name=f"g{i}", cpu=cpu, memory_gib=memory, replicas=replicas)
        for i, (cpu, memory, replicas) in enumerate(groups)
    )
    cluster = Cluster(cluster_id="fresh", requirements=Requirements(pods=waiting))
    _, decision = asked(cluster, known, max_pool_share=1, max_joint_share=1)
    each = [(min(spot_cost(p), p.on_demand_price or math.inf), (p.vcpu, p.memory_gib)) for p in known]
    pods = sorted(((g.cpu, g.memory_gib) for g in waiting for _ in range(g.replicas)), reverse=True)
    best = min(
        sum(each[i][0] for i in chosen)
        for count in range(1, len(pods) + 1)
        for chosen in itertools.combinations_with_replacement(range(len(each)), count)
        if placeable(pods, [each[i][1] for i in chosen])
    )
    assert cost_of(decision, known) == pytest.approx(best, abs=2e-5)


def test_pods_that_fit_no_node_are_a_conflict() -> None:
    waiting = (PodGroup(name="huge", cpu=64, memory_gib=1, replicas=1),)
    _, decision = asked(Cluster(cluster_id="fresh", requirements=Requirements(pods=waiting)), small.pools())
    assert decision.recommendations == ()
    assert decision.conflicts[0].constraints[0] == "pods"


def test_a_launch_says_which_pods_it_holds() -> None:
    waiting = (
        PodGroup(name="web", cpu=1, memory_gib=2, replicas=7),
        PodGroup(name="cache", cpu=0.5, memory_gib=12, replicas=2),
    )
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),), requirements=Requirements(pods=waiting))
    _, decision = asked(cluster, small.pools())
    held: Counter[str] = Counter()
    for action in decision.recommendations:
        if action.target is not None and not action.node_ids:
            held.update({name: count * action.target.count for name, count in action.pods_per_node.items()})
            assert any(name.startswith("pods_per_node_") for name in action.reasons[0].numbers)
    assert held["web"] >= 7
    assert held["cache"] >= 2


def test_patterns_are_all_maximal_ones() -> None:
    groups = (
        PodGroup(name="a", cpu=1, memory_gib=1, replicas=5),
        PodGroup(name="b", cpu=2, memory_gib=1, replicas=5),
    )
    assert set(patterns_for(groups, 4, 8, 0)) == {(4, 0), (2, 1), (0, 2)}
    assert patterns_for(groups, 0.5, 8, 0) == ()
