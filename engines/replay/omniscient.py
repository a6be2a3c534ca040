"""What nobody could beat: at every instant the cheapest whole-node cover of what is asked for, with moves free.

It knows what happens: in a trace it has left before a node ends. Where interruptions are counted by expectation it
pays for them like everybody else. It spreads nothing.
"""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from engines.contract import Requirements
from engines.replay.workload import Workload
from engines.replay.world import Bools, Floats, World


def least_usd(world: World, workload: Workload, interruption_node_hours: float) -> float:
    """Return the least that the whole window could have cost (USD)."""
    cover = _Cover(world, workload)
    on_demand = np.array([place.on_demand for place in world.places])
    risk = world.hazard * interruption_node_hours * on_demand
    total = 0.0
    for tick in range(world.ticks):
        spot = world.price[tick] + risk
        out = np.isnan(world.probability[tick]) | np.isnan(spot)
        if world.available is not None:
            out = ~world.available[tick] | np.isnan(spot)
        known = ~np.isnan(world.price[tick])
        cost = np.where(known, np.minimum(on_demand, np.where(out, np.inf, spot)), np.inf)
        total += cover.least(cost) * world.tick_hours
    return total


class _Cover:
    """Whole-node covers of one workload; remembers those it has found."""

    def __init__(self, world: World, workload: Workload) -> None:
        needs, places = workload.requirements, world.places
        limits = workload.constraints
        self._needs: Requirements = needs
        self._sizes = np.array([(p.vcpu, p.memory_gib, p.gpus) for p in places], dtype=np.float64).reshape(-1, 3)
        self._fits: Bools = np.array(
            [
                p.vcpu >= needs.min_node_vcpu
                and p.memory_gib >= needs.min_node_memory_gib
                and needs.architecture in (None, p.architecture)
                for p in places
            ],
            dtype=np.bool_,
        )
        regions = sorted({p.region for p in places})
        anywhere = [np.ones(len(places), dtype=np.bool_)]
        one_by_one = [np.array([p.region == region for p in places], dtype=np.bool_) for region in regions]
        self._parts = anywhere if limits.cross_region_allowed else one_by_one
        self._known: dict[bytes, float] = {}

    def least(self, cost: Floats) -> float:
        """Return the least cost (USD per hour) of a cover at these costs per node; infinite where there is none."""
        return min(self._least_of(np.where(part & self._fits, cost, np.inf)) for part in self._parts)

    def _least_of(self, cost: Floats) -> float:
        chosen = self._undominated(cost)
        key = np.column_stack([self._sizes[chosen], cost[chosen]]).tobytes()
        if key not in self._known:
            self._known[key] = self._solved(self._sizes[chosen], cost[chosen])
        return self._known[key]

    def _undominated(self, cost: Floats) -> list[int]:
        order = [int(i) for i in np.lexsort((-self._sizes[:, 1], -self._sizes[:, 0], cost)) if np.isfinite(cost[i])]
        kept: list[int] = []
        for i in order:
            if not kept or not (self._sizes[kept] >= self._sizes[i]).all(axis=1).any():
                kept.append(i)
        return kept

    def _solved(self, sizes: Floats, cost: Floats) -> float:
        if not len(cost):
            return float("inf")
        needs = self._needs
        rows = np.vstack([sizes.T, np.ones(len(cost))])
        low = np.array([needs.vcpu, needs.memory_gib, needs.gpus, needs.min_nodes], dtype=np.float64)
        high = np.array([np.inf, np.inf, np.inf, np.inf if needs.max_nodes is None else needs.max_nodes])
        result = milp(
            cost,
            constraints=LinearConstraint(rows, low, high),
            bounds=Bounds(0, np.inf),
            integrality=np.ones(len(cost)),
        )
        return float("inf") if result.x is None else float(result.fun)
