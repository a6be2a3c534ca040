"""The past as a replay sees it: prices, predictions and availability on one grid of instants."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from engines.contract import Architecture

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Place:
    """One pool and what an instance there is made of; `on_demand` in USD per hour."""

    pool_id: str
    region: str
    availability_zone: str
    instance_type: str
    on_demand: float
    vcpu: float
    memory_gib: float
    gpus: int = 0
    gpu_model: str | None = None
    architecture: Architecture = "x86_64"
    product: str = "Linux/UNIX"


@dataclass(frozen=True, slots=True)
class World:
    """`len(places)` pools at `ticks` instants, `tick_hours` apart from `start` on.

    `price` float64[ticks, pools] in USD per hour, NaN before a pool's first record. `probability` float64[ticks, pools]
    of an interruption within `horizon_hours` as it was known then, NaN where it was not predicted, and `confidence` of
    the same shape. `hazard` float64[pools]: interruptions per hour that are counted by expectation. `available`
    bool[ticks, pools] where a trace tells what happened; nothing is counted by expectation then. Engines are asked
    every `decide_every` ticks.
    """

    name: str
    start: datetime
    tick_hours: float
    decide_every: int
    places: tuple[Place, ...]
    price: Floats
    probability: Floats
    confidence: Floats
    hazard: Floats
    horizon_hours: float
    predicted_by: str
    available: Bools | None = None
    market_id: str = "replay:files"
    notes: tuple[str, ...] = field(default=())

    @property
    def ticks(self) -> int:
        """How many instants there are."""
        return int(self.price.shape[0])

    @property
    def hours(self) -> float:
        """Length of the window (hours)."""
        return self.ticks * self.tick_hours

    def at(self, tick: int) -> datetime:
        """Return the instant of a tick (UTC)."""
        return self.start + timedelta(hours=tick * self.tick_hours)

    def only(self, pools: npt.NDArray[np.intp]) -> "World":
        """Return the same past with these pools alone."""
        return replace(
            self,
            places=tuple(self.places[int(p)] for p in pools),
            price=self.price[:, pools],
            probability=self.probability[:, pools],
            confidence=self.confidence[:, pools],
            hazard=self.hazard[pools],
            available=None if self.available is None else self.available[:, pools],
        )


def step_prices(times: Floats, prices: Floats, grid: Floats) -> Floats:
    """Return the price that held at each instant of `grid`: the last record at or before it, NaN before the first.

    `times` (seconds, ascending) and `prices` are one pool's records, `grid` is in seconds.
    """
    at = np.searchsorted(times, grid, side="right") - 1
    return np.where(at >= 0, prices[np.maximum(at, 0)], np.nan) if len(times) else np.full(len(grid), np.nan)
