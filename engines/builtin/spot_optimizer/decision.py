"""One cluster's decision from end to end: consolidate, choose a mix, explain it, plan it, and name conflicts."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from engines.actions import Action, ClusterDecision
from engines.builtin.spot_optimizer import explanation, savings
from engines.builtin.spot_optimizer.binding import WhyNot, outcome_of
from engines.builtin.spot_optimizer.columns import Column, least_savings
from engines.builtin.spot_optimizer.config import OptimizerConfig, Policy
from engines.builtin.spot_optimizer.conflicts import conflicts_of
from engines.builtin.spot_optimizer.consolidation import Drain, consolidate
from engines.builtin.spot_optimizer.explanation import Setting
from engines.builtin.spot_optimizer.mix import Mix, choose
from engines.builtin.spot_optimizer.nodes import NodeClass, NodeState, classes_of, states_of
from engines.builtin.spot_optimizer.offers import Offers, offers_for, within
from engines.builtin.spot_optimizer.prospects import Prospects
from engines.facts import Cluster, PoolFacts
from engines.planning import plan_for

_UNLIMITED = 1_000_000_000
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for one cluster."""

    offers: Offers
    classes: list[NodeClass]
    mix: Mix
    drains: list[Drain]
    states: list[NodeState]
    moves_left: int


def decide_cluster(
    cluster: Cluster, pools: Sequence[PoolFacts], as_of: datetime, config: OptimizerConfig, policy: Policy
) -> ClusterDecision:
    """Return the decision for `cluster`; every node is in exactly one action."""
    choice = choose_for(cluster, pools, as_of, config, policy)
    setting = Setting(
        cluster=cluster,
        offers=choice.offers,
        config=config,
        as_of=as_of,
        data_as_of=_data_as_of(choice, as_of),
        why_not=WhyNot(cluster, choice.offers, config, outcome_of(choice.mix), choice.moves_left),
        failing=tuple(choice.mix.helped),
    )
    actions = _ordered([explanation.drained(setting, drain) for drain in choice.drains] + _from_mix(setting, choice))
    known = all(state.price is not None for state in choice.states)
    return ClusterDecision(
        cluster_id=cluster.cluster_id,
        recommendations=actions,
        execution_plan=plan_for(cluster, actions, config.disruption_minutes),
        estimated_savings=savings.total(action.savings for action in actions),
        current_cost_usd_per_hour=math.fsum(s.price or 0.0 for s in choice.states) if known else None,
        planned_cost_usd_per_hour=max(0.0, outcome_of(choice.mix).price) if known else None,
        conflicts=conflicts_of(
            cluster, choice.mix.failures, lambda other: _failures(other, pools, as_of, config, policy)
        ),
        data_as_of=min((action.data_as_of for action in actions), default=setting.data_as_of),
        simulated=any(pool.simulated for pool in pools),
    )


def choose_for(
    cluster: Cluster, pools: Sequence[PoolFacts], as_of: datetime, config: OptimizerConfig, policy: Policy
) -> Choice:
    """Consolidate first, since that launches nothing, then choose the mix for the nodes that remain."""
    offers = offers_for(cluster, pools, config, policy)
    by_place: dict[tuple[str, str, str], PoolFacts] = {}
    for pool in pools:
        if pool.product_description == cluster.product_description:
            by_place.setdefault((pool.region, pool.availability_zone, pool.instance_type), pool)
    states = states_of(cluster, by_place, config, policy)
    moves_left = _moves_left(cluster, as_of, config)
    drains = []
    if policy.consolidate:
        drains = consolidate(cluster, states, config, moves_left, Prospects(cluster, offers))
    moves_left -= sum(len(drain.drained) for drain in drains)
    remaining = _remaining(states, drains)
    choices = []
    for regions in _regions(cluster, offers):
        here = within(offers, regions)
        classes = classes_of(cluster, remaining, here)
        mix = _mix(cluster, classes, here, config, policy, moves_left)
        choices.append(Choice(here, classes, mix, drains, states, moves_left))
    return min(choices, key=lambda choice: (len(choice.mix.failures), choice.mix.objective))


def _regions(cluster: Cluster, offers: Offers) -> list[frozenset[str]]:
    """Return the sets of regions to choose among; an empty set leaves all open.

    A cluster stays in the regions of its nodes; a fresh one that may not span regions gets the best single one.
    """
    if cluster.constraints.cross_region_allowed:
        return [frozenset()]
    if cluster.nodes:
        return [frozenset(node.region for node in cluster.nodes)]
    return [frozenset([region]) for region in np.unique(offers.region[offers.open]).tolist()] or [frozenset()]


def _failures(
    cluster: Cluster, pools: Sequence[PoolFacts], as_of: datetime, config: OptimizerConfig, policy: Policy
) -> dict[str, float]:
    return choose_for(cluster, pools, as_of, config, policy).mix.failures


def _remaining(states: list[NodeState], drains: list[Drain]) -> list[NodeState]:
    gone = {state.node.node_id for drain in drains for state in drain.drained}
    receiving = {drain.receiver.node.node_id for drain in drains}
    return [
        replace(state, pin=state.pin or "receives_load") if state.node.node_id in receiving else state
        for state in states
        if state.node.node_id not in gone
    ]


def _moves_left(cluster: Cluster, as_of: datetime, config: OptimizerConfig) -> int:
    """Return how many nodes can be disrupted before the deadline, `max_concurrent_disruptions` at a time."""
    if cluster.constraints.deadline is None:
        return _UNLIMITED
    minutes = (cluster.constraints.deadline - as_of).total_seconds() / 60
    rounds = max(0, math.floor(minutes / config.disruption_minutes))
    return rounds * cluster.constraints.max_concurrent_disruptions


def _mix(
    cluster: Cluster,
    classes: list[NodeClass],
    offers: Offers,
    config: OptimizerConfig,
    policy: Policy,
    moves_left: int,
) -> Mix:
    """Choose; a launch that does not meet the requirements is not made, and no move saves too little for nothing."""
    launch, banned = True, frozenset[tuple[int, int]]()
    mix = choose(cluster, classes, offers, config, policy, moves_left)
    if mix.failures.keys() & {"vcpu", "memory_gib", "gpus", "min_nodes", "pods"}:
        launch = False
        mix = choose(cluster, classes, offers, config, policy, moves_left, launch=launch)
    for _ in range(_TRIES):
        idle = frozenset(_idle_moves(cluster, classes, offers, mix))
        if not idle or mix.helped:
            return mix
        banned |= idle
        mix = choose(cluster, classes, offers, config, policy, moves_left, launch=launch, banned=banned)
    return mix


def _idle_moves(cluster: Cluster, classes: list[NodeClass], offers: Offers, mix: Mix) -> list[tuple[int, int]]:
    """Return moves that save less than they must, though nothing forces them."""
    found = []
    for column, count in zip(mix.columns, mix.counts, strict=True):
        if count and column.moves and classes[column.of_class].one.force is None:
            node_class = classes[column.of_class]
            saved = node_class.one.cost - float(offers.cost[column.offer])
            if saved < float(least_savings(cluster, node_class, offers)[column.offer]):
                found.append((column.of_class, column.offer))
    return found


def _from_mix(setting: Setting, choice: Choice) -> list[Action]:
    by_class: dict[int, list[tuple[Column, int]]] = defaultdict(list)
    for column, count in zip(choice.mix.columns, choice.mix.counts, strict=True):
        if count:
            by_class[column.of_class].append((column, count))
    actions: list[Action] = []
    for k, parts in by_class.items():
        chosen = frozenset(column.offer for column, _ in parts if not column.stays)
        if k < 0:
            actions += [explanation.launched(setting, column, count, chosen) for column, count in parts]
            continue
        members = list(choice.classes[k].members)
        for column, count in parts:
            taken, members = members[:count], members[count:]
            if column.stays:
                actions.append(explanation.kept(setting, choice.classes[k], taken, column))
            else:
                actions.append(explanation.replaced(setting, choice.classes[k], taken, column, chosen))
    return actions


def _ordered(actions: list[Action]) -> tuple[Action, ...]:
    return tuple(sorted(actions, key=lambda a: (a.type == "hold", -a.score, -a.savings.p50, a.action_id)))


def _data_as_of(choice: Choice, as_of: datetime) -> datetime:
    """Return the age of the oldest pool that a node runs in now; what an action buys may be older still."""
    return min((s.offer.pool.data_as_of for s in choice.states if s.offer), default=as_of)
