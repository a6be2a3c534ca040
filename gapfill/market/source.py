"""The contract between a market's prices and the protocol that serves them; documented here and only here."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np

from gapfill.market.catalogue import InstanceKind
from gapfill.market.hashing import Ints
from gapfill.pools import Pool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which pools of a region: a None stands for all."""

    instance_types: frozenset[str] | None = None
    products: frozenset[str] | None = None
    zones: frozenset[str] | None = None

    def takes(self, pool: Pool) -> bool:
        """Whether `pool` is among them."""
        return (
            (self.instance_types is None or pool.instance_type in self.instance_types)
            and (self.products is None or pool.product in self.products)
            and (self.zones is None or pool.zone in self.zones)
        )


@dataclass(frozen=True, slots=True)
class PriceRecords:
    """Records of `pools`: `row` indexes `pools`, `at` is in seconds since 1970, `price` in micro-USD per hour.

    Sorted by row, then time; no two of one pool share a second.
    """

    pools: tuple[Pool, ...]
    row: Ints
    at: Ints
    price: Ints


@dataclass(frozen=True, slots=True)
class Interruption:
    """Running spot instances of `pool` are interrupted at `at`."""

    pool: Pool
    at: datetime


def no_records() -> PriceRecords:
    """Nothing of no pool."""
    none = np.empty(0, dtype=np.int64)
    return PriceRecords((), none, none, none)


class MarketSource(Protocol):
    """Where the served prices come from. Regions that are not in `regions()` raise KeyError. Thread-safe."""

    @property
    def market_id(self) -> str:
        """`sim:<seed>` or `replay:<sha256, 12 digits>+<shift>w`."""
        ...

    def identity(self) -> dict[str, object]:
        """What `/_market/identity` says beside the market's id: JSON values."""
        ...

    def regions(self) -> tuple[str, ...]:
        """Names of the regions, sorted."""
        ...

    def zones(self, region: str) -> dict[str, str]:
        """Zone name → zone id."""
        ...

    def kinds(self, region: str) -> dict[str, InstanceKind]:
        """What the region offers in at least one zone, by instance type."""
        ...

    def offered(self, region: str) -> tuple[tuple[str, str], ...]:
        """The (zone name, instance type) pairs on offer."""
        ...

    def products(self, region: str, instance_type: str) -> tuple[str, ...]:
        """The products that may be run on a type."""
        ...

    def on_demand(self, region: str, instance_type: str, product: str) -> int | None:
        """Micro-USD per hour, None where unknown or not sold."""
        ...

    def records(self, region: str, wanted: Wanted, start: int, end: int) -> PriceRecords:
        """Every record in [start, end] (seconds), and for each pool the last one before `start` where there is one."""
        ...

    def interruptions(self, region: str, start: int, end: int) -> list[Interruption]:
        """Interruptions in [start, end] (seconds), in the order of time."""
        ...
