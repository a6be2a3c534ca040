"""Fewer nodes for the same load: first-fit-decreasing packing of whole nodes' loads into what others have free."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from engines.builtin.spot_optimizer.config import OptimizerConfig
from engines.builtin.spot_optimizer.nodes import TOLERANCE, Load, NodeState
from engines.facts import Cluster


@dataclass(frozen=True, slots=True)
class Drain:
    """Nodes whose load goes to one receiving node, which runs on."""

    drained: tuple[NodeState, ...]
    receiver: NodeState


@dataclass(slots=True)
class _Room:
    state: NodeState
    vcpu: float
    memory: float
    gpus: int

    def holds(self, load: Load) -> bool:
        """Whether the load still fits."""
        return load.vcpu <= self.vcpu + TOLERANCE and load.memory <= self.memory + TOLERANCE and load.gpus <= self.gpus

    def take(self, load: Load) -> None:
        """Give the load its room."""
        self.vcpu -= load.vcpu
        self.memory -= load.memory
        self.gpus -= load.gpus


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


def consolidate(cluster: Cluster, states: Sequence[NodeState], config: OptimizerConfig, at_most: int) -> list[Drain]:
    """Return which nodes can be drained into which, at most `at_most` nodes.

    Nodes are tried from the least saved load per vCPU upwards, that is from the emptiest; each whole load goes to the
    fullest node that still holds it, so that a plan never depends on how pods could be split. A node that receives is
    never drained itself.
    """
    rooms = {state.node.node_id: _room(state, config) for state in states if state.force is None}
    ledger = _Ledger(cluster, states)
    drained: dict[str, list[NodeState]] = {}
    gone: set[str] = set()
    for state in sorted((s for s in states if _may_go(cluster, s)), key=_emptiest_first):
        if len(gone) >= at_most:
            break
        name = state.node.node_id
        if name in drained or not ledger.can_spare(state):
            continue
        fitting = [r for n, r in rooms.items() if n != name and n not in gone and _compatible(state, r)]
        if not fitting:
            continue
        receiver = min(fitting, key=lambda r: (r.vcpu, r.memory, r.state.node.node_id))
        receiver.take(state.load)
        ledger.spare(state)
        gone.add(name)
        drained.setdefault(receiver.state.node.node_id, []).append(state)
    return [Drain(tuple(moved), rooms[name].state) for name, moved in drained.items()]


def _room(state: NodeState, config: OptimizerConfig) -> _Room:
    capacity, load = state.node.capacity, state.load
    return _Room(
        state,
        capacity.vcpu * config.max_fill - load.vcpu,
        capacity.memory_gib * config.max_fill - load.memory,
        capacity.gpus - load.gpus,
    )


def _may_go(cluster: Cluster, state: NodeState) -> bool:
    if state.pin is not None or state.force is not None or not state.price:
        return False
    limits = cluster.constraints
    return state.cost >= limits.min_savings_usd_per_hour and limits.min_savings_percent <= 100


def _emptiest_first(state: NodeState) -> tuple[float, float, str]:
    capacity = state.node.capacity
    fill = max(state.load.vcpu / capacity.vcpu, state.load.memory / capacity.memory_gib)
    return (fill, -state.cost, state.node.node_id)


def _compatible(state: NodeState, room: _Room) -> bool:
    giver, receiver = state.node, room.state.node
    if giver.region != receiver.region or giver.architecture != receiver.architecture:
        return False
    if state.load.gpus and giver.instance_type.split(".")[0] != receiver.instance_type.split(".")[0]:
        return False
    return room.holds(state.load)
