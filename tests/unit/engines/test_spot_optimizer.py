"""The optimiser: what it recommends in plain situations, and that it never breaks a constraint in odd ones."""

import itertools
import math
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from engines.builtin.on_demand_only import OnDemandOnly
from engines.builtin.spot_optimizer_v1 import SpotOptimizerV1
from engines.contract import Action, Cluster, ClusterDecision, Constraints, DecisionInput, Requirements
from engines.violations import violations
from tests.unit.engines import engine_inputs as small


def decided(given: DecisionInput) -> ClusterDecision:
    decision = SpotOptimizerV1().decide(given).decisions[0]
    assert violations(given, decision) == ()
    return decision


def actions_by_node(decision: ClusterDecision) -> dict[str, Action]:
    return {node_id: action for action in decision.recommendations for node_id in action.node_ids}


def test_one_cluster_shows_a_move_a_consolidation_and_a_rightsizing() -> None:
    cluster = Cluster(
        cluster_id="web",
        nodes=(
            small.node("busy-1", "m5.large"),
            small.node("busy-2", "m5.large"),
            small.node("idle-1", "m5.xlarge", requested=0.2),
            small.node("idle-2", "m5.xlarge", requested=0.3),
            small.node("oversized", "m5.4xlarge", requested=0.45, used=0.2),
        ),
    )
    decision = decided(small.given(cluster))
    kinds = {node_id: action.type for node_id, action in actions_by_node(decision).items()}
    assert kinds == {
        "busy-1": "move_to_spot",
        "busy-2": "move_to_spot",
        "idle-1": "consolidate",
        "idle-2": "hold",
        "oversized": "rightsize",
    }
    assert decision.estimated_savings.p50 > 0
    assert decision.planned_cost_usd_per_hour is not None
    assert decision.current_cost_usd_per_hour == pytest.approx(2 * 0.096 + 2 * 0.192 + 0.768)
    steps = [step.type for step in decision.execution_plan.steps]
    assert steps == ["revalidate", "launch", "wait_ready", "check_savings", "cordon", "evict", "terminate", "verify"]


def test_spot_nodes_are_spread_over_pools() -> None:
    nodes = tuple(small.node(f"n{i}", "m5.large") for i in range(6))
    cluster = Cluster(cluster_id="c", nodes=nodes, constraints=Constraints(min_pools=3))
    used = Counter[str]()
    for action in decided(small.given(cluster)).recommendations:
        assert action.target is not None
        used[f"{action.target.availability_zone}/{action.target.instance_type}"] += action.target.count
    assert sum(used.values()) == 6
    assert len(used) >= 3
    assert max(used.values()) <= 3


def test_the_on_demand_share_is_kept_and_named() -> None:
    nodes = tuple(small.node(f"n{i}", "m5.large") for i in range(4))
    cluster = Cluster(cluster_id="c", nodes=nodes, constraints=Constraints(min_on_demand_share=0.5))
    decision = decided(small.given(cluster))
    kinds = Counter(action.type for action in actions_by_node(decision).values())
    assert kinds == {"move_to_spot": 2, "hold": 2}
    held = next(action for action in decision.recommendations if action.type == "hold")
    assert held.rejected_counts["min_on_demand_share"] > 0


def test_spot_nodes_fall_back_when_the_share_is_missed() -> None:
    nodes = tuple(small.node(f"n{i}", "m5.large", "spot") for i in range(2))
    cluster = Cluster(cluster_id="c", nodes=nodes, constraints=Constraints(min_on_demand_share=0.5))
    kinds = Counter(action.type for action in actions_by_node(decided(small.given(cluster))).values())
    assert kinds["fall_back_to_on_demand"] == 1


def test_a_pool_that_grows_too_risky_is_left_whatever_it_costs() -> None:
    known = tuple(
        small.pool("m5.large", zone, price=0.02, interruption_probability=p) for zone, p in (("a", 0.3), ("b", 0.01))
    )
    limit = Constraints(max_interruption_probability=0.1, min_savings_usd_per_hour=1.0)
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.large", "spot"),), constraints=limit)
    action = decided(small.given(cluster, known=known)).recommendations[0]
    assert action.type == "move_pool"
    assert action.target is not None
    assert action.target.availability_zone == "us-east-1b"
    assert action.reasons[0].code == "required"
    assert action.score == 1


def test_the_limit_on_interruptions_is_taken_to_its_horizon() -> None:
    limit = Constraints(max_interruption_probability=0.05, interruption_horizon_hours=24)
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),), constraints=limit)
    action = decided(small.given(cluster)).recommendations[0]
    assert action.type == "hold"
    rejected = next(r for r in action.rejected if r.constraint == "max_interruption_probability")
    assert rejected.value == pytest.approx(1 - 0.99**24)
    assert rejected.limit == 0.05


def test_a_warned_node_is_replaced() -> None:
    cluster = Cluster(
        cluster_id="c",
        nodes=(small.node("n", "m5.large", "spot", interruption_notice_at=small.AS_OF),),
    )
    action = decided(small.given(cluster)).recommendations[0]
    assert action.type in ("move_pool", "fall_back_to_on_demand")


@pytest.mark.parametrize("field", ["stateful", "do_not_disrupt"])
def test_a_node_that_must_be_left_alone_is(field: str) -> None:
    node = small.node("n", "m5.large").model_copy(update={field: True})
    cluster = Cluster(cluster_id="c", nodes=(node,))
    action = decided(small.given(cluster)).recommendations[0]
    assert (action.type, action.reasons[0].code) == ("hold", field)


def test_unknown_utilisation_forbids_rightsizing_and_says_so() -> None:
    known = (small.pool("m5.4xlarge", price=0.9), small.pool("m5.large"))
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.4xlarge", requested=0.1),))
    action = decided(small.given(cluster, known=known)).recommendations[0]
    assert action.type == "hold"
    assert "utilisation_unknown" in {reason.code for reason in action.reasons}
    assert action.rejected_counts["utilisation"] == 2


def test_a_short_utilisation_window_counts_as_unknown() -> None:
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.4xlarge", requested=0.1, used=0.1),))
    before = decided(small.given(cluster)).recommendations[0]
    after = decided(small.given(cluster, min_utilisation_window_hours=200)).recommendations[0]
    assert (before.type, after.type) == ("rightsize", "move_to_spot")


def test_rightsizing_leaves_headroom_over_what_is_used() -> None:
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.4xlarge", requested=0.1, used=0.45),))
    action = decided(small.given(cluster, use_headroom=0.2)).recommendations[0]
    assert action.target is not None
    assert action.type == "move_to_spot"
    assert action.target.instance_type == "m5.4xlarge"


def test_min_savings_hold_small_gains_back() -> None:
    least = Constraints(min_savings_percent=90)
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),), constraints=least)
    action = decided(small.given(cluster)).recommendations[0]
    assert action.type == "hold"
    assert action.rejected_counts["min_savings_percent"] > 0


def test_a_deadline_leaves_room_for_so_many_disruptions() -> None:
    nodes = tuple(small.node(f"n{i}", "m5.large") for i in range(5))
    limits = Constraints(deadline=small.AS_OF + timedelta(minutes=25), max_concurrent_disruptions=1)
    decision = decided(small.given(Cluster(cluster_id="c", nodes=nodes, constraints=limits)))
    assert Counter(action.type for action in actions_by_node(decision).values()) == {"move_to_spot": 2, "hold": 3}


def test_a_costly_interruption_keeps_nodes_on_demand() -> None:
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),))
    cheap = decided(small.given(cluster)).recommendations[0]
    costly = decided(small.given(cluster, interruption_cost_node_hours=1_000)).recommendations[0]
    assert (cheap.type, costly.type) == ("move_to_spot", "hold")


def test_savings_are_what_the_documentation_says() -> None:
    known = (small.pool("m5.large", price=0.03),)
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),))
    saved = decided(small.given(cluster, known=known)).recommendations[0].savings
    risk = 0.01005033585 * 0.5 * 0.096
    assert saved.p50 == pytest.approx(0.096 - 0.03 - risk, rel=1e-6)
    assert saved.p10 == pytest.approx(0.096 - 0.03 * 1.0661779 - risk * 1.2922, rel=1e-4)
    assert saved.p10 < saved.p50 < saved.p90


def test_a_fresh_cluster_gets_a_mix_in_one_region() -> None:
    needs = Requirements(vcpu=20, memory_gib=64, min_nodes=3)
    wanted = Cluster(
        cluster_id="fresh", requirements=needs, constraints=Constraints(min_on_demand_share=0.3, min_pools=2)
    )
    abroad = tuple(
        p.model_copy(update={"region": "eu-west-1", "pool_id": f"eu/{p.pool_id}", "price": p.price * 0.999})
        for p in small.pools()
    )
    decision = decided(small.given(wanted, known=small.pools() + abroad))
    assert {a.type for a in decision.recommendations} == {"move_to_spot", "fall_back_to_on_demand"}
    assert len({a.target.region for a in decision.recommendations if a.target}) == 1
    assert all(a.node_ids == () for a in decision.recommendations)
    assert decision.conflicts == ()


def test_what_cannot_be_done_names_the_conflict() -> None:
    wanted = Cluster(
        cluster_id="fresh",
        requirements=Requirements(vcpu=100),
        constraints=Constraints(budget_usd_per_hour=0.5, allowed_families=("m5",)),
    )
    decision = decided(small.given(wanted))
    assert decision.recommendations == ()
    assert [conflict.constraints for conflict in decision.conflicts] == [("vcpu", "budget_usd_per_hour")]


def test_a_move_pays_for_the_time_both_nodes_run() -> None:
    known = tuple(small.pool("m5.large", zone, price=price) for zone, price in (("a", 0.0400), ("b", 0.0398)))
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.large", "spot"),))
    held = decided(small.given(cluster, known=known)).recommendations[0]
    assert (held.type, held.rejected_counts["hold_hours"]) == ("hold", 1)
    assert decided(small.given(cluster, known=known, hold_hours=240)).recommendations[0].type == "move_pool"


def test_a_pool_that_will_not_last_must_save_more() -> None:
    cluster = Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),))
    lasting, fleeting = (
        decided(small.given(cluster, known=(fact,), interruption_cost_node_hours=0)).recommendations[0].type
        for fact in (
            small.pool("m5.large", price=0.09),
            small.pool("m5.large", price=0.09, interruption_probability=0.6),
        )
    )
    assert (lasting, fleeting) == ("move_to_spot", "hold")


def test_what_is_lost_together_is_bounded() -> None:
    cheap = (small.pool("m5.large", "a", price=0.02), small.pool("m5.xlarge", "a", price=0.04))
    elsewhere = (small.pool("m5.large", "b", price=0.05), small.pool("m5.large", "c", price=0.06))
    cluster = Cluster(cluster_id="c", nodes=tuple(small.node(f"n{i}", "m5.large") for i in range(10)))
    used = Counter[str]()
    for action in decided(small.given(cluster, known=cheap + elsewhere)).recommendations:
        assert action.target is not None
        used[action.target.availability_zone] += action.target.count
    assert used == {"us-east-1a": 6, "us-east-1b": 4}


def test_what_cannot_be_spread_is_still_bought_on_spot() -> None:
    cluster = Cluster(cluster_id="c", nodes=tuple(small.node(f"n{i}", "m5.large", price=0.096) for i in range(4)))
    decision = decided(small.given(cluster, known=(small.pool("m5.large", "b"),)))
    assert Counter(action.type for action in actions_by_node(decision).values()) == {"move_to_spot": 4}


def test_on_demand_only_buys_no_spot() -> None:
    nodes = (small.node("s", "m5.large", "spot"), small.node("o", "m5.4xlarge", requested=0.2, used=0.1))
    decision = OnDemandOnly().decide(small.given(Cluster(cluster_id="c", nodes=nodes))).decisions[0]
    kinds = {node_id: action.type for node_id, action in actions_by_node(decision).items()}
    assert kinds == {"s": "fall_back_to_on_demand", "o": "rightsize"}
    assert all(a.target is None or a.target.capacity_type == "on_demand" for a in decision.recommendations)


def cheapest_by_trying_everything(prices: list[float], nodes: int, share: float, pool_share: float) -> float:
    """The least cost of `nodes` equal on-demand nodes over the spot pools that cost less, by enumeration."""
    prices = [price for price in prices if price < 0.096]
    on_demand = len(prices)
    best = float("inf")
    for places in itertools.product(range(on_demand + 1), repeat=nodes):
        counts = Counter(places)
        spot = nodes - counts[on_demand]
        most = max((n for place, n in counts.items() if place != on_demand), default=0)
        even = max(pool_share, 1 / max(1, on_demand))
        if counts[on_demand] >= share * nodes and most <= math.ceil(even * spot - 1e-9):
            best = min(best, sum(prices[p] if p < on_demand else 0.096 for p in places))
    return best


@settings(max_examples=60, deadline=None)
@hypothesis_given(
    prices=st.lists(st.floats(0.01, 0.12), min_size=1, max_size=3),
    nodes=st.integers(1, 4),
    share=st.sampled_from([0.0, 0.25, 0.5]),
    pool_share=st.sampled_from([0.5, 1.0]),
)
def test_the_mix_is_as_cheap_as_the_best_of_all(
    prices: list[float], nodes: int, share: float, pool_share: float
) -> None:
    known = tuple(
        small.pool("m5.large", zone, price=price, interruption_probability=0.0)
        for zone, price in zip("bcd", prices, strict=False)
    )
    cluster = Cluster(
        cluster_id="c",
        nodes=tuple(small.node(f"n{i}", "m5.large", price=0.096) for i in range(nodes)),
        constraints=Constraints(min_on_demand_share=share),
    )
    spread = {"max_pool_share": pool_share, "max_joint_share": 1.0, "hold_hours": 1e6}
    decision = decided(small.given(cluster, known=known, **spread))
    best = cheapest_by_trying_everything(prices, nodes, share, pool_share)
    assert decision.planned_cost_usd_per_hour == pytest.approx(best, abs=1e-5)
