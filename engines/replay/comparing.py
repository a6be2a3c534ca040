"""Several engines over the same past, and how far what they cost depends on which pools there are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from engines.replay.entrants import BASELINE, RIVAL, Entrant
from engines.replay.fleet import Bill
from engines.replay.omniscient import least_usd
from engines.replay.playing import play
from engines.replay.workload import Workload
from engines.replay.world import World

# What one interruption costs (node-hours on demand): the one that counts, then those beside it.
INTERRUPTION_NODE_HOURS = (0.5, 0.1, 2.0)
OMNISCIENT = "omniscient"
DRAWS = 20
SEED = 20_200_623
# Over a draw of pools engines are asked so many times more rarely: otherwise twenty draws take hours.
DRAWN_ASKED_EVERY = 4
_LOW, _HIGH = 5.0, 95.0


@dataclass(frozen=True, slots=True)
class Ratio:
    """One engine's cost over another's: as replayed, and the 5th and 95th percentile over draws of the pools."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """One engine in one world at one cost of interruption; `against` by engine id, `omniscient` included."""

    engine_id: str
    bill: Bill
    against: Mapping[str, Ratio]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All engines in one world at one cost of interruption, over all its workloads together."""

    world: World
    workloads: tuple[str, ...]
    interruption_node_hours: float
    omniscient_usd: float
    standings: tuple[Standing, ...]
    draws: int = 0


@dataclass(slots=True)
class Progress:
    """How far a comparison has come, in plays; `told` hears of each, `stop` ends it."""

    total: int = 0
    done: int = 0
    stop: Callable[[], bool] = field(default=lambda: False)
    told: Callable[["Progress"], None] = field(default=lambda _: None)

    def step(self) -> None:
        """Count one play."""
        self.done += 1
        self.told(self)


def plays(workloads: int, entrants: Mapping[str, Entrant], costs: int, draws: int) -> int:
    """Return how many plays `compare` takes over so many workloads."""
    at_each_cost = sum(costs if entrant.weighs_interruptions else 1 for entrant in entrants.values())
    return workloads * (at_each_cost + draws * len(entrants))


def compare(
    world: World,
    workloads: Sequence[Workload],
    entrants: Mapping[str, Entrant],
    costs: Sequence[float] = INTERRUPTION_NODE_HOURS,
    *,
    draws: int = 0,
    progress: Progress | None = None,
) -> Iterator[Comparison]:
    """Replay every entrant over every workload, bills summed, and yield one comparison per cost of an interruption.

    The first also over `draws` draws of the pools. Raises Stopped when the progress says so.
    """
    progress = progress or Progress()
    names = tuple(workload.name for workload in workloads)
    first: dict[str, Bill] = {}
    for cost in costs:
        bills = {}
        for name, entrant in entrants.items():
            if name in first and not entrant.weighs_interruptions:
                bills[name] = at_cost(first[name], costs[0], cost)
            else:
                bills[name] = _replayed(world, workloads, entrant, cost, progress)
        least = _least(world, workloads, cost)
        drawn = [_drawn(world, pools, workloads, entrants, cost, progress) for pools in _draws(world, draws, first)]
        yield Comparison(world, names, cost, least, _standings(bills, least, drawn), len(drawn))
        first = first or bills


def at_cost(bill: Bill, before: float, after: float) -> Bill:
    """Return the same course of events with interruptions that cost `after` node-hours instead of `before`."""
    lost = bill.interruptions * after
    usd = bill.interruption_usd / before * after if before else 0.0
    return replace(bill, lost_node_hours=lost, interruption_usd=usd)


def summed(bills: Sequence[Bill]) -> Bill:
    """Return the sum, figure by figure."""
    total = Bill()
    for bill in bills:
        for name in Bill.__slots__:
            setattr(total, name, getattr(total, name) + getattr(bill, name))
    return total


def _draws(world: World, draws: int, first: Mapping[str, Bill]) -> list[npt.NDArray[np.intp]]:
    """Return the distinct pools of each draw with replacement; none after the first cost."""
    random = np.random.default_rng(SEED)
    count = len(world.places)
    return [np.unique(random.integers(0, count, count)) for _ in range(0 if first else draws)]


def _drawn(
    world: World,
    pools: npt.NDArray[np.intp],
    workloads: Sequence[Workload],
    entrants: Mapping[str, Entrant],
    cost: float,
    progress: Progress,
) -> dict[str, float]:
    part = replace(world.only(pools), decide_every=world.decide_every * DRAWN_ASKED_EVERY)
    totals = {name: _replayed(part, workloads, e, cost, progress).total_usd for name, e in entrants.items()}
    return {**totals, OMNISCIENT: _least(part, workloads, cost)}


def _replayed(world: World, workloads: Sequence[Workload], entrant: Entrant, cost: float, progress: Progress) -> Bill:
    parts = []
    for workload in workloads:
        parts.append(play(world, workload, entrant.at(cost), cost, stop=progress.stop))
        progress.step()
    return summed(parts)


def _least(world: World, workloads: Sequence[Workload], cost: float) -> float:
    return sum(least_usd(world, workload, cost) for workload in workloads)


def _standings(bills: Mapping[str, Bill], least: float, drawn: Sequence[Mapping[str, float]]) -> tuple[Standing, ...]:
    usd = {**{name: bill.total_usd for name, bill in bills.items()}, OMNISCIENT: least}
    rivals = (BASELINE, RIVAL, OMNISCIENT)
    return tuple(
        Standing(
            name, bill, {other: _ratio(name, other, usd, drawn) for other in rivals if other != name and other in usd}
        )
        for name, bill in bills.items()
    )


def _ratio(name: str, other: str, usd: Mapping[str, float], drawn: Sequence[Mapping[str, float]]) -> Ratio:
    ratios = [draw[name] / draw[other] for draw in drawn if draw[other] > 0]
    value = usd[name] / usd[other] if usd[other] > 0 else float("inf")
    if not ratios:
        return Ratio(value)
    return Ratio(value, float(np.percentile(ratios, _LOW)), float(np.percentile(ratios, _HIGH)))
