"""Why not: each way that is told makes the optimiser choose the pool, and a little less of it does not."""

from datetime import timedelta
from random import Random
from typing import Any

import pytest

from engines import samples
from engines.builtin.spot_optimizer.config import OPTIMISE, OptimizerConfig
from engines.builtin.spot_optimizer.why_not import PoolAnswer, Way, why_not
from engines.builtin.spot_optimizer_v1 import SpotOptimizerV1
from engines.contract import Cluster, Constraints, DecisionInput, PoolFacts, Requirements
from tests.unit.engines import engine_inputs as small

POOL = "us-east-1/us-east-1b/m5.large/Linux/UNIX"


def answered(cluster: Cluster, known: tuple[PoolFacts, ...], pool_id: str = POOL, **config: Any) -> PoolAnswer:
    return why_not(cluster, known, small.AS_OF, OptimizerConfig(**config), OPTIMISE, pool_id)


def changed(given: DecisionInput, pool_id: str, way: Way, back: float = 0.0) -> DecisionInput:
    """The input with a way's changes made; `back` undoes that share of the last one."""
    for number, change in enumerate(way.changes):
        part, name = change.field.split(".", 1)
        value = change.needed
        if back and number == len(way.changes) - 1:
            value = change.needed + (change.now - change.needed) * back
        if isinstance(value, list):
            value = tuple(value)
        if part == "pool":
            pools = tuple(p.model_copy(update={name: value}) if p.pool_id == pool_id else p for p in given.pools)
            given = given.model_copy(update={"pools": pools})
        elif part == "config":
            given = given.model_copy(update={"config": {**given.config, name: value}})
        else:
            cluster = given.clusters[0]
            inner = getattr(cluster, part).model_copy(update={name: value})
            given = given.model_copy(update={"clusters": (cluster.model_copy(update={part: inner}),)})
    return given


def chosen(given: DecisionInput, pool_id: str) -> bool:
    """Whether the engine itself, asked through its contract, buys spot nodes in the pool."""
    decision = SpotOptimizerV1().decide(DecisionInput.model_validate(given.model_dump())).decisions[0]
    pool = next(p for p in given.pools if p.pool_id == pool_id)
    return any(
        action.target is not None
        and action.target.count > 0
        and action.target.capacity_type == "spot"
        and (action.target.availability_zone, action.target.instance_type)
        == (pool.availability_zone, pool.instance_type)
        for action in decision.recommendations
    )


def check(given: DecisionInput, pool_id: str, answer: PoolAnswer) -> None:
    """Every way does it, and one percent less of a gradual one does not."""
    assert answer.ways
    for way in answer.ways:
        assert chosen(changed(given, pool_id, way), pool_id), way
        last = way.changes[-1]
        gradual = isinstance(last.needed, float) and isinstance(last.now, float)
        if gradual and last.field not in ("constraints.max_interruption_probability", "config.hold_hours"):
            assert not chosen(changed(given, pool_id, way, back=0.01), pool_id), way


def fields(answer: PoolAnswer) -> set[tuple[str, ...]]:
    return {tuple(change.field for change in way.changes) for way in answer.ways}


def test_a_dearer_pool_is_told_the_price_at_which_it_would_be_chosen() -> None:
    known = (small.pool("m5.large", "a", price=0.03), small.pool("m5.large", "b", price=0.05))
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),))
    answer = answered(cluster, known)
    assert not answer.chosen
    assert answer.bound_by[0].constraint == "cost"
    check(small.given(cluster, known=known), POOL, answer)
    price = next(way.changes[0] for way in answer.ways if way.changes[0].field == "pool.price")
    assert price.needed == pytest.approx(0.03, abs=1e-6)
    assert "at most" in price.text


def test_a_risky_pool_is_told_the_probability_or_the_price() -> None:
    known = (
        small.pool("m5.large", "a", price=0.03),
        small.pool("m5.large", "b", price=0.029, interruption_probability=0.3),
    )
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),))
    answer = answered(cluster, known)
    check(small.given(cluster, known=known), POOL, answer)
    assert {("pool.price",), ("pool.interruption_probability",)} <= fields(answer)


@pytest.mark.parametrize(
    ("constraints", "requirements", "field"),
    [
        ({"allowed_availability_zones": ("us-east-1a",)}, {}, "constraints.allowed_availability_zones"),
        ({"allowed_families": ("c5",)}, {}, "constraints.allowed_families"),
        ({"max_interruption_probability": 0.001}, {}, "constraints.max_interruption_probability"),
        ({"min_on_demand_share": 1.0}, {}, "constraints.min_on_demand_share"),
        ({"min_savings_percent": 90.0}, {}, "constraints.min_savings_percent"),
        ({"min_savings_usd_per_hour": 1.0}, {}, "constraints.min_savings_usd_per_hour"),
        ({"deadline": small.AS_OF + timedelta(minutes=1)}, {}, "constraints.deadline"),
        ({}, {"min_node_vcpu": 4.0}, "requirements.min_node_vcpu"),
        ({}, {"architecture": "arm64"}, "requirements.architecture"),
    ],
)
def test_the_constraint_that_stands_in_the_way_is_relaxed_and_no_more(
    constraints: dict[str, Any], requirements: dict[str, Any], field: str
) -> None:
    known = (small.pool("m5.large", "b", price=0.02),)
    cluster = Cluster(
        cluster_id="c",
        nodes=(small.node("n", "m5.large", price=0.096),),
        constraints=Constraints(**constraints),
        requirements=Requirements(**requirements),
    )
    answer = answered(cluster, known)
    assert (field,) in fields(answer)
    check(small.given(cluster, known=known), POOL, answer)


def test_two_bars_and_a_price_are_told_together() -> None:
    known = (small.pool("m5.large", "a", price=0.03), small.pool("m5.large", "b", price=0.05))
    limits = Constraints(allowed_availability_zones=("us-east-1a",), max_interruption_probability=0.001)
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),), constraints=limits)
    answer = answered(cluster, known)
    bars = ("constraints.allowed_availability_zones", "constraints.max_interruption_probability")
    assert answer.ways[0].changes[0].field == bars[0]
    check(small.given(cluster, known=known), POOL, answer)


def test_spreading_over_more_pools_is_a_way() -> None:
    known = tuple(small.pool("m5.large", z, price=p) for z, p in (("a", 0.03), ("c", 0.031), ("b", 0.04)))
    cluster = Cluster(cluster_id="c", nodes=tuple(small.node(f"n{i}", "m5.large") for i in range(6)))
    answer = answered(cluster, known)
    assert ("constraints.min_pools",) in fields(answer)
    check(small.given(cluster, known=known), POOL, answer)


def test_a_chosen_and_an_unknown_pool_are_called_that() -> None:
    known = (small.pool("m5.large", "b", price=0.02),)
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.large", price=0.096),))
    assert answered(cluster, known).chosen
    assert not answered(cluster, known, "nowhere").known


def test_a_pool_that_holds_no_node_has_no_way_and_says_why() -> None:
    known = (small.pool("m5.large", "b", price=0.02), small.pool("m5.xlarge", "a"))
    answer = answered(Cluster(cluster_id="c", nodes=(small.node("n", "m5.xlarge"),)), known)
    assert answer.ways == ()
    assert [bound.constraint for bound in answer.bound_by] == ["capacity"]


def test_every_way_on_random_clusters_is_one() -> None:
    ways = 0
    for seed in range(8):
        random = Random(seed)
        known = samples.pools(random, 5)
        cluster = samples.cluster(random, most_nodes=2)
        given = DecisionInput(as_of=samples.AS_OF, market_id="sim:1", clusters=(cluster,), pools=known)
        pool_id = random.choice(known).pool_id
        answer = why_not(cluster, known, samples.AS_OF, OptimizerConfig(), OPTIMISE, pool_id)
        for way in answer.ways:
            ways += 1
            assert chosen(changed(given, pool_id, way), pool_id), f"seed {seed}: {way}"
    assert ways > 5
