"""The nodes that run during a replay, and what they cost; decisions are carried out at once and exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.contract import (
    Action,
    CapacityType,
    Cluster,
    ClusterDecision,
    Node,
    Requested,
    Resources,
    Target,
    Utilisation,
)
from engines.replay.workload import Workload
from engines.replay.world import Bools, Place, World

# The plan's own time to replace one node; old and new run beside each other for so long.
OVERLAP_HOURS = 10 / 60
_WINDOW_HOURS = 168.0


@dataclass(frozen=True, slots=True)
class Running:
    """One node: in which pool of the world, and how it is bought."""

    node_id: str
    pool: int
    spot: bool


@dataclass(slots=True)
class Bill:
    """What has come together over a replay; money in USD, the rest in hours and counts.

    `violations` are broken constraints, `failures` decisions that the engine did not give (nothing was done then),
    `unmet_hours` those in which the cluster had less than it asked for.
    """

    compute_usd: float = 0.0
    overlap_usd: float = 0.0
    interruption_usd: float = 0.0
    interruptions: float = 0.0
    lost_node_hours: float = 0.0
    node_hours: float = 0.0
    spot_node_hours: float = 0.0
    moves: int = 0
    launches: int = 0
    refused: int = 0
    decisions: int = 0
    violations: int = 0
    failures: int = 0
    unmet_hours: float = 0.0

    @property
    def total_usd(self) -> float:
        """All of it."""
        return self.compute_usd + self.overlap_usd + self.interruption_usd


class Fleet:
    """One workload's nodes in one world."""

    def __init__(self, world: World, workload: Workload, interruption_node_hours: float) -> None:
        self.world = world
        self.workload = workload
        self.bill = Bill()
        self.nodes: list[Running] = []
        self._lost_hours = interruption_node_hours
        self._made = 0
        self._on_demand = np.array([place.on_demand for place in world.places])
        self._at = {(p.region, p.availability_zone, p.instance_type): i for i, p in enumerate(world.places)}

    # What an engine is told

    def cluster(self) -> Cluster:
        """Return the cluster as its orchestrator reports it; what is asked for is shared over the nodes by size."""
        needs = self.workload.requirements
        places = [self.world.places[node.pool] for node in self.nodes]
        vcpu = max(needs.vcpu, sum(p.vcpu for p in places))
        memory = max(needs.memory_gib, sum(p.memory_gib for p in places))
        share = (needs.vcpu / vcpu if vcpu else 0.0, needs.memory_gib / memory if memory else 0.0)
        return Cluster(
            cluster_id=self.workload.name,
            nodes=tuple(self._node(node, place, share) for node, place in zip(self.nodes, places, strict=True)),
            requirements=needs,
            constraints=self.workload.constraints,
        )

    def _node(self, node: Running, place: Place, share: tuple[float, float]) -> Node:
        cpu, memory = share
        used = self.workload.used
        kind: CapacityType = "spot" if node.spot else "on_demand"
        return Node(
            node_id=node.node_id,
            region=place.region,
            availability_zone=place.availability_zone,
            instance_type=place.instance_type,
            capacity_type=kind,
            architecture=place.architecture,
            capacity=Resources(vcpu=place.vcpu, memory_gib=place.memory_gib, gpus=place.gpus),
            requested=Requested(cpu=cpu, memory=memory, gpus=place.gpus if self.workload.requirements.gpus else 0),
            utilisation=Utilisation(
                cpu_p50=cpu * used,
                cpu_p95=cpu * used,
                memory_p50=memory * used,
                memory_p95=memory * used,
                window_hours=_WINDOW_HOURS,
            ),
        )

    # What a decision does

    def carry_out(self, decision: ClusterDecision, tick: int, refused: Bools) -> frozenset[int]:
        """Carry out every action at once; `refused` says, per pool, where no spot node can be had.

        Returns the pools that did refuse one.
        """
        tried: set[int] = set()
        running = {node.node_id: node for node in self.nodes}
        for action in decision.recommendations:
            if action.type == "hold":
                continue
            for node_id in action.node_ids:
                self._replaced(running.pop(node_id), tick)
            running.update((node.node_id, node) for node in self._launched(action, refused, tried))
        self.nodes = list(running.values())
        return frozenset(tried)

    def _replaced(self, node: Running, tick: int) -> None:
        self.bill.moves += 1
        self.bill.overlap_usd += self._price(node, tick) * OVERLAP_HOURS

    def _launched(self, action: Action, refused: Bools, tried: set[int]) -> Sequence[Running]:
        target = action.target
        if target is None:
            return ()
        pool = self._pool_of(target)
        spot = target.capacity_type == "spot"
        if spot and refused[pool]:
            self.bill.refused += target.count
            tried.add(pool)
            spot = False
        self.bill.launches += target.count
        self._made += target.count
        return [Running(f"n{self._made - i}", pool, spot) for i in range(target.count)]

    def _pool_of(self, target: Target) -> int:
        return self._at[(target.region, target.availability_zone, target.instance_type)]

    # What time does

    def interrupt(self, gone: Bools) -> frozenset[int]:
        """End the spot nodes in the pools that are `gone`; return those pools."""
        ended = [node for node in self.nodes if node.spot and gone[node.pool]]
        for node in ended:
            self.bill.interruptions += 1
            self._lose(1.0, float(self._on_demand[node.pool]))
        self.nodes = [node for node in self.nodes if not (node.spot and gone[node.pool])]
        return frozenset(node.pool for node in ended)

    def pass_time(self, tick: int) -> None:
        """Bill one tick: prices, and interruptions that are counted by expectation."""
        hours, prices = self.world.tick_hours, self.world.price[tick]
        for node in self.nodes:
            self.bill.node_hours += hours
            self.bill.compute_usd += hours * (float(prices[node.pool]) if node.spot else self._on_demand_at(node))
            if node.spot:
                self.bill.spot_node_hours += hours
                expected = float(self.world.hazard[node.pool]) * hours
                self.bill.interruptions += expected
                self._lose(expected, self._on_demand_at(node))
        if self._is_short():
            self.bill.unmet_hours += hours

    def _is_short(self) -> bool:
        needs = self.workload.requirements
        places = [self.world.places[node.pool] for node in self.nodes]
        return (
            sum(p.vcpu for p in places) < needs.vcpu
            or sum(p.memory_gib for p in places) < needs.memory_gib
            or sum(p.gpus for p in places) < needs.gpus
            or len(places) < needs.min_nodes
        )

    def _lose(self, interruptions: float, on_demand: float) -> None:
        self.bill.lost_node_hours += interruptions * self._lost_hours
        self.bill.interruption_usd += interruptions * self._lost_hours * on_demand

    def _on_demand_at(self, node: Running) -> float:
        return float(self._on_demand[node.pool])

    def _price(self, node: Running, tick: int) -> float:
        return float(self.world.price[tick, node.pool]) if node.spot else self._on_demand_at(node)
