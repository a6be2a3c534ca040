"""Several engines over the same past, and how far what they cost depends on which pools there are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engines.replay.fleet import Bill
from engines.replay.omniscient import least_usd
from engines.replay.playing import Contender, play
from engines.replay.workload import Workload
from engines.replay.world import World

# What one interruption costs (node-hours on demand): the one that counts, then those beside it.
INTERRUPTION_NODE_HOURS = (0.5, 0.1, 2.0)
BASELINE = "on_demand_only"
RIVAL = "cheapest_pool"
DRAWS = 20
SEED = 20_200_623
_LOW, _HIGH = 5.0, 95.0

# Makes the contender of an engine for what an interruption costs.
Entrant = Callable[[float], Contender]


@dataclass(frozen=True, slots=True)
class Ratios:
    """One engine's cost over another's: as replayed, and the 5th and 95th percentile over draws of pools."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """One engine in one world at one cost of interruption; `against` by engine id, `omniscient` included."""

    engine_id: str
    bill: Bill
    against: Mapping[str, Ratios]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All engines in one world at one cost of interruption, over all its workloads together."""

    world: str
    hours: float
    pools: int
    predicted_by: str
    interruption_node_hours: float
    omniscient_usd: float
    standings: tuple[Standing, ...]
    draws: int = 0


@dataclass(slots=True)
class Progress:
    """How far a comparison has come, in plays done and to be done; `stop` ends it."""

    total: int = 0
    done: int = 0
    stop: Callable[[], bool] = field(default=lambda: False)
    told: Callable[["Progress"], None] = field(default=lambda _: None)

    def step(self) -> None:
        """Count one play."""
        self.done += 1
        self.told(self)


def compare(
    world: World,
    workloads: Sequence[Workload],
    entrants: Mapping[str, Entrant],
    interruption_node_hours: float,
    *,
    draws: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Replay every entrant over every workload, then over `draws` draws of the pools; bills are summed.

    Raises what the engines raise, and Stopped when the progress says so.
    """
    progress = progress or Progress()
    bills = _replayed(world, workloads, entrants, interruption_node_hours, progress)
    omniscient = _omniscient(world, workloads, interruption_node_hours)
    costs = {**{name: bill.total_usd for name, bill in bills.items()}, "omniscient": omniscient}
    drawn = []
    for pools in _draws(world, draws):
        part = world.only(pools)
        again = _replayed(part, workloads, entrants, interruption_node_hours, progress)
        totals = {name: bill.total_usd for name, bill in again.items()}
        drawn.append({**totals, "omniscient": _omniscient(part, workloads, interruption_node_hours)})
    return Comparison(
        world=world.name,
        hours=world.hours,
        pools=len(world.places),
        predicted_by=world.predicted_by,
        interruption_node_hours=interruption_node_hours,
        omniscient_usd=omniscient,
        standings=tuple(Standing(name, bill, _against(name, costs, drawn)) for name, bill in bills.items()),
        draws=draws,
    )


def plays(workloads: int, entrants: int, costs: int, draws: int) -> int:
    """Return how many plays a comparison takes."""
    return workloads * entrants * costs * (1 + draws)


def _draws(world: World, draws: int) -> list[np.ndarray]:
    random = np.random.default_rng(SEED)
    count = len(world.places)
    return [np.unique(random.integers(0, count, count)) for _ in range(draws)]


def _replayed(
    world: World,
    workloads: Sequence[Workload],
    entrants: Mapping[str, Entrant],
    interruption_node_hours: float,
    progress: Progress,
) -> dict[str, Bill]:
    found = {}
    for name, entrant in entrants.items():
        parts = []
        for workload in workloads:
            contender = entrant(interruption_node_hours)
            parts.append(play(world, workload, contender, interruption_node_hours, stop=progress.stop))
            progress.step()
        found[name] = summed(parts)
    return found


def _omniscient(world: World, workloads: Sequence[Workload], interruption_node_hours: float) -> float:
    return sum(least_usd(world, workload, interruption_node_hours) for workload in workloads)


def summed(bills: Sequence[Bill]) -> Bill:
    """Return the sum, figure by figure."""
    total = Bill()
    for bill in bills:
        for name in Bill.__slots__:
            setattr(total, name, getattr(total, name) + getattr(bill, name))
    return total


def _against(name: str, costs: Mapping[str, float], drawn: Sequence[Mapping[str, float]]) -> dict[str, Ratios]:
    found = {}
    for other, cost in costs.items():
        if other == name or other not in (BASELINE, RIVAL, "omniscient"):
            continue
        ratios = [draw[name] / draw[other] for draw in drawn if draw[other] > 0]
        low, high = (float(np.percentile(ratios, p)) for p in (_LOW, _HIGH)) if ratios else (None, None)
        found[other] = Ratios(costs[name] / cost if cost else float("inf"), low, high)
    return found
