"""A decision in the making, for authors: it refuses what the contract forbids, holds the rest, and writes the plan.

An engine that uses it says which node should go where and why; the draft keeps to the cluster's constraints and
requirements, writes down what bound each alternative that was tried, and completes the answer.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from engines.actions import (
    Action,
    ActionType,
    ClusterDecision,
    Conflict,
    Reason,
    Savings,
    Target,
)
from engines.drafted import Rejected, Step, risk_of, target_of, total, type_of
from engines.exchange import DecisionInput, DecisionOutput
from engines.facts import CapacityType, Cluster, Node, PoolFacts
from engines.limits import Totals, over_limits, priced, unfit, unwanted
from engines.planning import plan_for

Place = tuple[str, str, str]
LISTED = 5
NOTHING = Savings(p10=0.0, p50=0.0, p90=0.0)
NO_PODS = ("pods", "a draft places no waiting pods, and what is launched must hold them")
PINNED = {
    "stateful": "its pods hold state that a move would lose",
    "do_not_disrupt": "the operator forbids any disruption",
    "deadline": "the deadline for disruption has passed",
}


@dataclass
class Draft:
    """The decision for one `cluster` of `given`; it expires after `valid_minutes`."""

    given: DecisionInput
    cluster: Cluster
    valid_minutes: float = 15.0
    pools: dict[Place, PoolFacts] = field(init=False)
    _totals: Totals = field(init=False)
    _before: Totals = field(init=False)
    _steps: list[Step] = field(init=False, default_factory=list)
    _moved: set[str] = field(init=False, default_factory=set)
    _rejected: dict[str, list[Rejected]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.pools = {}
        for pool in self.given.pools:
            if pool.product_description == self.cluster.product_description:
                self.pools.setdefault((pool.region, pool.availability_zone, pool.instance_type), pool)
        self._before = Totals()
        for node in self.cluster.nodes:
            self._before = self._before.plus_node(node, self.price(node) or 0.0)
        self._totals = self._before

    def free(self) -> tuple[Node, ...]:
        """The nodes that may be moved and have not been."""
        return tuple(n for n in self.cluster.nodes if n.node_id not in self._moved and self._pin(n) is None)

    def pool_of(self, node: Node) -> PoolFacts | None:
        """The pool that a node runs in, or would; None when it is not known."""
        return self.pools.get((node.region, node.availability_zone, node.instance_type))

    def price(self, node: Node) -> float | None:
        """What a node costs now (USD per hour); None when nobody knows."""
        return priced(node, self.pool_of(node))

    def missing(self) -> tuple[float, float, int, int]:
        """(vCPU, GiB, GPUs, nodes) that the requirements ask for beyond what the cluster has with this draft."""
        needs, have = self.cluster.requirements, self._totals
        return (
            max(0.0, needs.vcpu - have.vcpu),
            max(0.0, needs.memory_gib - have.memory_gib),
            max(0, needs.gpus - have.gpus),
            max(0, needs.min_nodes - have.nodes),
        )

    def nodes_missing(self, pool: PoolFacts) -> int:
        """How many nodes of a pool would offer what is missing; 0 when nothing is, or when the pool cannot offer it."""
        vcpu, memory, gpus, nodes = self.missing()
        if gpus and not pool.gpus:
            return 0
        by_gpus = math.ceil(gpus / pool.gpus) if gpus else 0
        return max(math.ceil(vcpu / pool.vcpu), math.ceil(memory / pool.memory_gib), by_gpus, nodes)

    def move(
        self, node: Node, pool: PoolFacts, capacity_type: CapacityType, saves: Savings, reason: Reason
    ) -> str | None:
        """Replace `node` by one node of `pool`; None when that is done, else the constraint that bound it.

        A `reason` with the code "required" may save less than the constraints ask for.
        """
        bound = self._why_not(node, pool, capacity_type, saves, reason)
        if bound is None:
            after = self._totals.minus_node(node, self.price(node) or 0.0).plus(pool, capacity_type, 1)
            bound = over_limits(self.cluster, self._before, after)
        if bound is not None:
            return self.reject(node, pool, *bound, capacity_type)
        self._totals = after
        self._moved.add(node.node_id)
        self._steps.append(Step((node,), target_of(pool, capacity_type, 1), pool, saves, reason))
        return None

    def launch(self, pool: PoolFacts, capacity_type: CapacityType, count: int, saves: Savings = NOTHING) -> str | None:
        """Launch `count` nodes that the requirements ask for; None when that is done, else the constraint."""
        homes = {node.region for node in self.cluster.nodes} | {s.pool.region for s in self._steps if not s.nodes}
        bound = NO_PODS if self.cluster.requirements.pods else unwanted(self.cluster, pool, capacity_type, homes)
        after = self._totals.plus(pool, capacity_type, count)
        bound = bound or over_limits(self.cluster, self._before, after)
        if bound is not None:
            return self.reject(None, pool, *bound, capacity_type, count)
        self._totals = after
        numbers = {"nodes": float(count), "vcpu_per_node": pool.vcpu, "vcpu_still_missing": self.missing()[0]}
        reason = Reason(code="required", text="The requirements ask for more than the cluster has.", numbers=numbers)
        self._steps.append(Step((), target_of(pool, capacity_type, count), pool, saves, reason))
        return None

    def reject(
        self,
        node: Node | None,
        pool: PoolFacts | None,
        constraint: str,
        detail: str,
        capacity_type: CapacityType = "spot",
        count: int = 1,
    ) -> str:
        """Write down an alternative for `node` (None: for a launch) that is not chosen, and what bound it.

        Without a `pool` it stands for all that are left. Returns the constraint.
        """
        tried = Rejected(pool, capacity_type, count, constraint, detail)
        self._rejected.setdefault(node.node_id if node else "", []).append(tried)
        return constraint

    def decision(self) -> ClusterDecision:
        """The whole decision: what was moved and launched, a hold for every other node, and the plan."""
        actions = [self._action(number, step) for number, step in enumerate(self._steps)]
        actions.sort(key=lambda action: (-action.score, action.action_id))
        actions += [self._hold(node) for node in self.cluster.nodes if node.node_id not in self._moved]
        prices = [self.price(node) for node in self.cluster.nodes]
        known = None not in prices
        return ClusterDecision(
            cluster_id=self.cluster.cluster_id,
            recommendations=tuple(actions),
            execution_plan=plan_for(self.cluster, actions),
            estimated_savings=total(action.savings for action in actions),
            current_cost_usd_per_hour=math.fsum(price or 0.0 for price in prices) if known else None,
            planned_cost_usd_per_hour=max(0.0, self._totals.price) if known else None,
            conflicts=self._conflicts(),
            data_as_of=min((action.data_as_of for action in actions), default=self.given.as_of),
            simulated=any(pool.simulated for pool in self.pools.values()),
        )

    def _why_not(
        self, node: Node, pool: PoolFacts, capacity_type: CapacityType, saves: Savings, reason: Reason
    ) -> tuple[str, str] | None:
        if (pin := self._pin(node)) is not None:
            return pin, PINNED[pin]
        if node.node_id in self._moved:
            return "disruption", "it is moved already"
        limits, cost = self.cluster.constraints, self.price(node) or 0.0
        least = max(limits.min_savings_usd_per_hour, limits.min_savings_percent / 100 * cost)
        if reason.code != "required" and saves.p50 < least:
            name = "min_savings_percent" if least > limits.min_savings_usd_per_hour else "min_savings_usd_per_hour"
            return name, f"it saves {saves.p50:.4g} USD per hour, and must save {least:.4g}"
        return unwanted(self.cluster, pool, capacity_type, {node.region}) or unfit(node, pool, capacity_type)

    def _pin(self, node: Node) -> str | None:
        deadline = self.cluster.constraints.deadline
        if node.stateful:
            return "stateful"
        if node.do_not_disrupt:
            return "do_not_disrupt"
        return "deadline" if deadline is not None and deadline <= self.given.as_of else None

    def _action(self, number: int, step: Step) -> Action:
        key = step.nodes[0].node_id if step.nodes else ""
        cost = math.fsum(self.price(node) or 0.0 for node in step.nodes)
        worth = min(1.0, max(0.0, step.savings.p50 / cost)) if cost > 0 else 0.0
        return self._completed(
            f"{number}", type_of(step), step.nodes, key, step.savings, step.reason,
            target=step.target, pool=step.pool, score=1.0 if step.reason.code == "required" else worth,
            rollback="terminate the new node; launch the old type again once it has ended" if step.nodes
            else "terminate the launched nodes",
        )  # fmt: skip

    def _hold(self, node: Node) -> Action:
        if (pin := self._pin(node)) is not None:
            self.reject(node, None, pin, f"every alternative: {PINNED[pin]}")
        elif node.node_id not in self._rejected:
            self.reject(node, None, "policy", "the engine looked for no alternative")
        found = self._rejected[node.node_id]
        bound = found[-1] if pin is None else next(one for one in reversed(found) if one.constraint == pin)
        reason = Reason(
            code=f"held_{bound.constraint}"[:255],
            text=f"It stays: {bound.detail}.",
            numbers={"cost_usd_per_hour": self.price(node) or 0.0, "alternatives": float(len(found))},
        )
        return self._completed(f"hold:{node.node_id}"[:255], "hold", (node,), node.node_id, NOTHING, reason)

    def _completed(
        self, action_id: str, kind: ActionType, nodes: tuple[Node, ...], key: str, saved: Savings, reason: Reason,
        *, target: Target | None = None, pool: PoolFacts | None = None, score: float = 0.0, rollback: str = "",
    ) -> Action:  # fmt: skip
        rejected = self._rejected.get(key, [])
        firsts = {one.constraint: one for one in reversed(rejected)}
        more = [one for one in rejected if one is not firsts[one.constraint]][: max(0, LISTED - len(firsts))]
        at = pool or (self.pool_of(nodes[0]) if nodes else None)
        return Action(
            action_id=action_id,
            type=kind,
            node_ids=tuple(node.node_id for node in nodes),
            target=target,
            score=score,
            risk=risk_of(at, target.capacity_type if target else nodes[0].capacity_type),
            savings=saved,
            reasons=(reason,),
            rejected=tuple(one.listed() for one in (*reversed(firsts.values()), *more)),
            rejected_counts=dict(Counter(one.constraint for one in rejected)),
            preconditions=("prices, nodes and constraints are as they were at data_as_of",) if target else (),
            valid_until=self.given.as_of + timedelta(minutes=self.valid_minutes),
            rollback=rollback,
            data_as_of=at.data_as_of if at else self.given.as_of,
        )

    def _conflicts(self) -> tuple[Conflict, ...]:
        names = ("vcpu", "memory_gib", "gpus", "min_nodes")
        short = tuple(name for name, lacking in zip(names, self.missing(), strict=True) if lacking > 0)
        short += ("pods",) if self.cluster.requirements.pods else ()
        if not short:
            return ()
        bound = tuple(dict.fromkeys(one.constraint for one in self._rejected.get("", ())))
        detail = (
            f"Nothing was found that offers enough {', '.join(short)} within {', '.join(bound) or 'what is known'}."
        )
        return (Conflict(constraints=(*short, *(name for name in bound if name not in short)), detail=detail),)


def hold_everything(given: DecisionInput) -> DecisionOutput:
    """Return the answer of an engine that does nothing, and says so."""
    return DecisionOutput(
        as_of=given.as_of, decisions=tuple(Draft(given, cluster).decision() for cluster in given.clusters)
    )
