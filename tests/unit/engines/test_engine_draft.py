"""A draft of a decision: what it refuses by which name, what it does, and that the judge finds nothing in it."""

from datetime import timedelta
from typing import Any

import pytest

from engines.contract import Cluster, Constraints, Draft, Node, Reason, Requirements, Savings
from engines.facts import PodGroup
from engines.violations import violations
from tests.unit.engines import engine_inputs as small

CHEAPER = Reason(code="cheaper", text="It is cheaper.", numbers={"saved_usd_per_hour": 0.05})
SAVES = Savings(p10=0.01, p50=0.05, p90=0.06)


def draft(*nodes: Node, known: Any = None, **limits: Any) -> Draft:
    needs = {name: limits.pop(name) for name in list(limits) if name in Requirements.model_fields}
    cluster = Cluster(
        cluster_id="c", nodes=nodes, requirements=Requirements(**needs), constraints=Constraints.model_validate(limits)
    )
    return Draft(small.given(cluster, known=known), cluster)


@pytest.mark.parametrize(
    ("limits", "bound"),
    [
        ({"allowed_regions": ("eu-west-1",)}, "allowed_regions"),
        ({"allowed_availability_zones": ("us-east-1c",)}, "allowed_availability_zones"),
        ({"allowed_families": ("c5",)}, "allowed_families"),
        ({"allowed_architectures": ("arm64",)}, "allowed_architectures"),
        ({"architecture": "arm64"}, "architecture"),
        ({"min_node_vcpu": 4}, "min_node_vcpu"),
        ({"min_node_memory_gib": 16}, "min_node_memory_gib"),
        ({"max_interruption_probability": 0.001}, "max_interruption_probability"),
        ({"max_interruption_probability": 0.05, "interruption_horizon_hours": 24}, "max_interruption_probability"),
        ({"min_savings_usd_per_hour": 0.06}, "min_savings_usd_per_hour"),
        ({"min_savings_percent": 90}, "min_savings_percent"),
        ({"min_on_demand_share": 1}, "min_on_demand_share"),
        ({"deadline": small.AS_OF - timedelta(hours=1)}, "deadline"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_move_is_refused_by_the_constraint_that_forbids_it(limits: dict[str, Any], bound: str) -> None:
    node = small.node("n", "m5.large")
    made = draft(node, **limits)
    assert made.move(node, small.pool("m5.large", "b"), "spot", SAVES, CHEAPER) == bound
    decision = made.decision()
    (action,) = decision.recommendations
    assert (action.type, decision.execution_plan.steps) == ("hold", ())
    assert bound in action.rejected_counts
    assert violations(made.given, decision) == ()


@pytest.mark.parametrize(
    ("node", "pool", "bound"),
    [
        (small.node("n", "m5.large", stateful=True), small.pool("m5.large"), "stateful"),
        (small.node("n", "m5.large", do_not_disrupt=True), small.pool("m5.large"), "do_not_disrupt"),
        (small.node("n", "m5.xlarge"), small.pool("m5.large"), "capacity"),
        (small.node("n", "m5.xlarge", requested=0.1), small.pool("m5.large"), "utilisation"),
        (small.node("n", "m5.large"), small.pool("m5.large", architecture="arm64"), "architecture"),
        (small.node("n", "m5.large"), small.pool("m5.large", interruption_probability=None), "prediction"),
        (small.node("n", "m5.large"), small.pool("m5.large", region="eu-west-1"), "cross_region_allowed"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_move_is_refused_by_what_the_node_needs(node: Node, pool: Any, bound: str) -> None:
    assert draft(node, known=(pool,)).move(node, pool, "spot", SAVES, CHEAPER) == bound


def test_what_is_done_is_counted_in_what_follows() -> None:
    nodes = [small.node(f"n{i}", "m5.large") for i in range(4)]
    made = draft(*nodes, min_on_demand_share=0.5)
    bounds = [made.move(node, small.pool("m5.large", "b"), "spot", SAVES, CHEAPER) for node in nodes]
    assert bounds == [None, None, "min_on_demand_share", "min_on_demand_share"]
    assert made.move(nodes[0], small.pool("m5.large", "c"), "spot", SAVES, CHEAPER) == "disruption"
    decision = made.decision()
    assert violations(made.given, decision) == ()
    assert decision.estimated_savings.p50 == pytest.approx(0.1)
    assert decision.current_cost_usd_per_hour == pytest.approx(4 * 0.096)
    assert decision.planned_cost_usd_per_hour == pytest.approx(2 * 0.096 + 2 * 0.4 * 0.096)
    kinds = [step.type for step in decision.execution_plan.steps]
    assert kinds == ["revalidate", "launch", "wait_ready", "check_savings", "cordon", "evict", "terminate", "verify"]


def test_spot_nodes_are_spread_over_as_many_pools_as_asked() -> None:
    nodes = [small.node(f"n{i}", "m5.large") for i in range(3)]
    made = draft(*nodes, min_pools=2)
    one, other = small.pool("m5.large", "a"), small.pool("m5.large", "b")
    bounds = [made.move(n, pool, "spot", SAVES, CHEAPER) for n, pool in zip(nodes, (one, one, other), strict=True)]
    assert bounds == [None, "min_pools", None]
    assert made.move(nodes[1], one, "spot", SAVES, CHEAPER) is None
    assert violations(made.given, made.decision()) == ()
    fresh = draft(vcpu=8, min_pools=2)
    assert fresh.launch(one, "spot", 4) == "min_pools"
    assert "min_pools" in fresh.decision().conflicts[0].constraints


def test_the_judge_sees_a_launch_that_is_not_spread() -> None:
    made = draft(vcpu=8, min_nodes=4)
    made.launch(small.pool("m5.large"), "spot", 4)
    spread = Constraints(min_pools=2)
    asked = made.given.model_copy(update={"clusters": (made.cluster.model_copy(update={"constraints": spread}),)})
    assert any("min_pools" in broken for broken in violations(asked, made.decision()))


def test_what_must_be_need_not_save() -> None:
    node = small.node("n", "m5.large", "spot")
    made = draft(node, min_savings_percent=50)
    costs = Savings(p10=-0.1, p50=-0.1, p90=-0.1)
    assert made.move(node, small.pool("m5.large"), "on_demand", costs, CHEAPER) == "min_savings_percent"
    required = CHEAPER.model_copy(update={"code": "required"})
    assert made.move(node, small.pool("m5.large"), "on_demand", costs, required) is None
    decision = made.decision()
    assert decision.recommendations[0].type == "fall_back_to_on_demand"
    assert violations(made.given, decision) == ()


def test_a_fresh_cluster_gets_what_it_asks_for_or_a_conflict() -> None:
    made = draft(vcpu=7, memory_gib=20, min_nodes=3, max_nodes=4)
    pool = small.pool("m5.large")
    assert made.nodes_missing(pool) == 4
    assert made.launch(pool, "spot", 5) == "max_nodes"
    assert made.launch(pool, "spot", 4) is None
    assert made.missing() == (0.0, 0.0, 0, 0)
    decision = made.decision()
    assert (decision.conflicts, violations(made.given, decision)) == ((), ())
    short = draft(vcpu=100, budget_usd_per_hour=0.01)
    assert short.launch(pool, "spot", 50) == "budget_usd_per_hour"
    assert short.decision().conflicts[0].constraints == ("vcpu", "budget_usd_per_hour")


def test_waiting_pods_are_a_conflict_not_a_launch_that_forgets_them() -> None:
    made = draft(vcpu=4, pods=(PodGroup(name="web", replicas=3, cpu=1, memory_gib=1),))
    assert made.launch(small.pool("m5.large"), "spot", 2) == "pods"
    assert "pods" in made.decision().conflicts[0].constraints
