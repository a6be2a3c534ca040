"""Fewer nodes for the same load: first-fit-decreasing packing of whole nodes' loads into what others have free."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.builtin.spot_optimizer.config import OptimizerConfig
from engines.builtin.spot_optimizer.nodes import TOLERANCE, Load, NodeState
from engines.builtin.spot_optimizer.prospects import Prospects
from engines.facts import Cluster

_FEWEST = 2
# Receivers looked at for one load.
_TRIED = 4


@dataclass(frozen=True, slots=True)
class Drain:
    """Nodes whose load goes to one receiving node, which runs on."""

    drained: tuple[NodeState, ...]
    receiver: NodeState


class _Rooms:
    """What each node has free; a node that is drained, or must go itself, takes nothing."""

    def __init__(self, states: Sequence[NodeState], config: OptimizerConfig) -> None:
        nodes = [state.node for state in states]
        capacities = [node.capacity for node in nodes]
        self.vcpu = np.array([c.vcpu * config.max_fill - s.load.vcpu for c, s in zip(capacities, states, strict=True)])
        self.memory = np.array(
            [c.memory_gib * config.max_fill - s.load.memory for c, s in zip(capacities, states, strict=True)]
        )
        self.gpus = np.array([c.gpus - s.load.gpus for c, s in zip(capacities, states, strict=True)])
        self.takes = np.array([state.force is None for state in states], dtype=np.bool_)
        self.kind = np.array([f"{node.region}/{node.architecture}" for node in nodes], dtype=np.str_)
        self.family = np.array([_family(state) for state in states], dtype=np.str_)

    def holding(self, at: int, state: NodeState) -> list[int]:
        """Return the nodes that still hold the load of `state`, the node at `at`: those with least room, first."""
        load = state.load
        fits = self.takes & (self.kind == self.kind[at]) & (self.gpus >= load.gpus)
        fits &= (self.vcpu >= load.vcpu - TOLERANCE) & (self.memory >= load.memory - TOLERANCE)
        if load.gpus:
            fits &= self.family == self.family[at]
        fits[at] = False
        found = np.flatnonzero(fits)
        tightest = np.lexsort((self.memory[found], self.vcpu[found]))[:_TRIED]
        return [int(i) for i in found[tightest]]

    def move(self, at: int, to: int, load: Load) -> None:
        """Give the load of the node at `at` its room at `to`."""
        self.vcpu[to] -= load.vcpu
        self.memory[to] -= load.memory
        self.gpus[to] -= load.gpus
        self.takes[at] = False


def _family(state: NodeState) -> str:
    return state.node.instance_type.split(".")[0]


class _Ledger:
    """What the cluster still has while nodes are taken out of it, held against what it must keep."""

    def __init__(self, cluster: Cluster, states: Sequence[NodeState]) -> None:
        self.cluster = cluster
        self.vcpu = sum(s.node.capacity.vcpu for s in states)
        self.on_demand_vcpu = sum(s.node.capacity.vcpu for s in states if not s.spot)
        self.memory = sum(s.node.capacity.memory_gib for s in states)
        self.gpus = sum(s.node.capacity.gpus for s in states)
        self.nodes = len(states)
        self.pools = Counter(s.place for s in states if s.spot)

    def can_spare(self, state: NodeState) -> bool:
        """Whether requirements, on-demand share and number of pools hold without this node too."""
        needs, limits, capacity = self.cluster.requirements, self.cluster.constraints, state.node.capacity
        vcpu = self.vcpu - capacity.vcpu
        if vcpu < needs.vcpu or self.memory - capacity.memory_gib < needs.memory_gib:
            return False
        if self.gpus - capacity.gpus < needs.gpus or self.nodes - 1 < max(1, needs.min_nodes):
            return False
        if not state.spot:
            return self.on_demand_vcpu - capacity.vcpu >= limits.min_on_demand_share * vcpu - TOLERANCE
        last = self.pools[state.place] == 1
        spread = sum(1 for n in self.pools.values() if n) - last
        return spread >= min(limits.min_pools, self.pools.total() - 1)

    def spare(self, state: NodeState) -> None:
        """Take the node out."""
        capacity = state.node.capacity
        self.vcpu -= capacity.vcpu
        self.memory -= capacity.memory_gib
        self.gpus -= capacity.gpus
        self.nodes -= 1
        if state.spot:
            self.pools[state.place] -= 1
        else:
            self.on_demand_vcpu -= capacity.vcpu


def consolidate(
    cluster: Cluster, states: Sequence[NodeState], config: OptimizerConfig, at_most: int, prospects: Prospects
) -> list[Drain]:
    """Return which nodes can be drained into which, at most `at_most` nodes.

    Nodes are tried from the emptiest upwards; each whole load goes to one of the nodes with least room that still hold
    it, so that a plan never depends on how pods could be split. It only goes where both nodes together can come to
    cost less than apart, with all that could still be done for either: a large idle node that is best made smaller is
    not filled up first. A node that receives is never drained itself.
    """
    if len(states) < _FEWEST:
        return []
    rooms, ledger = _Rooms(states, config), _Ledger(cluster, states)
    loads = [state.load for state in states]
    drained: dict[int, list[NodeState]] = {}
    left = at_most
    for at in sorted(
        (i for i, s in enumerate(states) if _may_go(cluster, s)), key=lambda i: _emptiest_first(states[i])
    ):
        if left <= 0:
            break
        state = states[at]
        if at in drained or not ledger.can_spare(state):
            continue
        gains = [
            (_gain(state, states[to], loads[to], prospects), -i, to) for i, to in enumerate(rooms.holding(at, state))
        ]
        gain, _, to = max(gains, default=(0.0, 0, 0))
        if gain <= TOLERANCE:
            continue
        rooms.move(at, to, state.load)
        loads[to] += state.load
        ledger.spare(state)
        left -= 1
        drained.setdefault(to, []).append(state)
    return [Drain(tuple(moved), states[to]) for to, moved in drained.items()]


def _gain(giver: NodeState, receiver: NodeState, load: Load, prospects: Prospects) -> float:
    """Return what both can come to cost apart, less what the receiver can come to cost with both loads."""
    apart = prospects.least_cost(giver, giver.load) + prospects.least_cost(receiver, load)
    return apart - prospects.least_cost(receiver, load + giver.load)


def _may_go(cluster: Cluster, state: NodeState) -> bool:
    if state.pin is not None or state.force is not None or not state.price:
        return False
    limits = cluster.constraints
    return state.cost >= limits.min_savings_usd_per_hour and limits.min_savings_percent <= 100


def _emptiest_first(state: NodeState) -> tuple[float, float, str]:
    capacity = state.node.capacity
    fill = max(state.load.vcpu / capacity.vcpu, state.load.memory / capacity.memory_gib)
    return (fill, -state.cost, state.node.node_id)
