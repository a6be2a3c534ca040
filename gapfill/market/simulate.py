"""A simulated market: the catalogue's pools with prices of the seeded process."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from gapfill.market import catalogue, process
from gapfill.market.catalogue import InstanceKind
from gapfill.market.errors import OptionsInvalid
from gapfill.market.hashing import key_of
from gapfill.market.process import Pace, Pools
from gapfill.market.source import Interruption, PriceRecords, Wanted, no_records
from gapfill.pools import LINUX, PRODUCTS, Pool


@dataclass(frozen=True, slots=True)
class _Region:
    """One region's (zone, type) pairs and, in the same order, their constants; `rows` finds a type's."""

    offered: tuple[tuple[str, str], ...]
    pools: Pools
    rows: dict[str, tuple[int, ...]]


class SimulatedMarket:
    """A `MarketSource` whose prices are a pure function of seed, pool and UTC instant (and of `pace`)."""

    def __init__(
        self,
        seed: int,
        regions: Sequence[str] = (),
        instance_types: Sequence[str] = (),
        pace: Pace | None = None,
        zones: Sequence[str] = (),
    ) -> None:
        """Empty sequences mean all of the catalogue's; raises OptionsInvalid for names it does not have."""
        self.seed = seed
        self.pace = pace or Pace()
        self._types = _known("types", instance_types or catalogue.simulated_types(), catalogue.kinds())
        self._regions = _known("regions", regions or tuple(catalogue.REGIONS), catalogue.REGIONS)
        every_zone = [zone for region in self._regions for zone in catalogue.zones_of(region)]
        self._zones = frozenset(_known("zones", zones, every_zone))
        self._built: dict[str, _Region] = {}

    @property
    def market_id(self) -> str:
        """`sim:<seed>`."""
        return f"sim:{self.seed}"

    def identity(self) -> dict[str, object]:
        """The seed, and since when and how fast the market is livelier than a real one."""
        steps = [{"from": datetime.fromtimestamp(at, UTC).isoformat(), "factor": f} for at, f in self.pace.steps]
        live_from = steps[0]["from"] if steps else None
        activity = self.pace.steps[-1][1] if steps else 1.0
        return {"seed": self.seed, "live_from": live_from, "live_activity": activity, "activity": steps}

    def regions(self) -> tuple[str, ...]:
        """See `MarketSource`."""
        return self._regions

    def zones(self, region: str) -> dict[str, str]:
        """See `MarketSource`."""
        zones = catalogue.zones_of(self._mine(region))
        return {name: ids for name, ids in zones.items() if not self._zones or name in self._zones}

    def kinds(self, region: str) -> dict[str, InstanceKind]:
        """See `MarketSource`."""
        known = catalogue.kinds()
        return {name: known[name] for name in sorted(self._region(region).rows)}

    def offered(self, region: str) -> tuple[tuple[str, str], ...]:
        """See `MarketSource`."""
        return self._region(region).offered

    def products(self, region: str, instance_type: str) -> tuple[str, ...]:
        """See `MarketSource`."""
        return tuple(product for product in PRODUCTS if catalogue.sells(catalogue.kinds()[instance_type], product))

    def on_demand(self, region: str, instance_type: str, product: str) -> int | None:
        """See `MarketSource`."""
        if instance_type not in self._region(region).rows:
            return None
        return catalogue.on_demand_micro(region, instance_type, product)

    def records(self, region: str, wanted: Wanted, start: int, end: int) -> PriceRecords:
        """See `MarketSource`."""
        place = self._region(region)
        rows = self._wanted_rows(place, wanted)
        inner = self.pace.inner(np.array([float(start), float(end)]))
        width = float(inner[1] - inner[0]) / process.SLOT_DAYS + process.ANCHOR_SLOTS
        parts = [
            _shifted(process.records(place.pools.take(rows[block]), self.pace, start, end), int(block[0]))
            for block in process.in_blocks(len(rows), width)
        ]
        if not parts:
            return no_records()
        told = process.Records(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS))
        return _with_products(region, [place.offered[row] for row in rows], told, wanted)

    def interruptions(self, region: str, start: int, end: int) -> list[Interruption]:
        """See `MarketSource`."""
        place = self._region(region)
        found: list[Interruption] = []
        hours = float(np.ptp(self.pace.inner(np.array([float(start), float(end)])))) * 24 + 1
        for block in process.in_blocks(len(place.offered), hours):
            rows, seconds = process.interruptions(place.pools.take(block), self.pace, start, end)
            for row, second in zip(rows.tolist(), seconds.tolist(), strict=True):
                zone, kind = place.offered[int(block[row])]
                found.append(Interruption(Pool(region, zone, kind), datetime.fromtimestamp(second, UTC)))
        return sorted(found, key=lambda one: (one.at, one.pool))

    def _mine(self, region: str) -> str:
        if region not in self._regions:
            raise KeyError(region)
        return region

    def _region(self, region: str) -> _Region:
        if region not in self._built:
            self._built[region] = self._build(self._mine(region))
        return self._built[region]

    def _build(self, region: str) -> _Region:
        offered = [(z, t) for z in self.zones(region) for t in self._types if catalogue.is_offered(z, t)]
        kinds = catalogue.kinds()
        pools = Pools(
            keys=np.array([key_of(f"{self.seed}/{zone}/{kind}") for zone, kind in offered], dtype=np.uint64),
            shared=np.array([key_of(f"{self.seed}/{region}/{kind}") for _, kind in offered], dtype=np.uint64),
            on_demand=np.array([catalogue.on_demand_micro(region, kind, LINUX) for _, kind in offered], dtype=np.int64),
            size_rank=np.array([kinds[kind].size_rank for _, kind in offered], dtype=np.int64),
        )
        rows: dict[str, list[int]] = {}
        for row, (_, kind) in enumerate(offered):
            rows.setdefault(kind, []).append(row)
        return _Region(tuple(offered), pools, {kind: tuple(found) for kind, found in rows.items()})

    def _wanted_rows(self, place: _Region, wanted: Wanted) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        if wanted.instance_types is None:
            rows: Sequence[int] = range(len(place.offered))
        else:
            rows = sorted(row for kind in wanted.instance_types for row in place.rows.get(kind, ()))
        if wanted.zones is not None:
            rows = [row for row in rows if place.offered[row][0] in wanted.zones]
        return np.array(rows, dtype=np.int64)


_FIELDS = ("pool", "at", "price")


def _known(option: str, names: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise OptionsInvalid(option, f"the catalogue has no {', '.join(unknown)}")
    return tuple(sorted(set(names)))


def _shifted(told: process.Records, by: int) -> process.Records:
    return process.Records(told.pool + by, told.at, told.price)


def _with_products(region: str, offered: list[tuple[str, str]], linux: process.Records, wanted: Wanted) -> PriceRecords:
    """Every product moves with Linux and adds its licence."""
    kinds = catalogue.kinds()
    products = [product for product in PRODUCTS if wanted.products is None or product in wanted.products]
    pools: list[Pool] = []
    rows, ats, prices = [], [], []
    for product in products:
        sold = np.array([catalogue.sells(kinds[kind], product) for _, kind in offered], dtype=bool)
        fee = np.array([catalogue.licence_micro(kinds[kind], product) for _, kind in offered], dtype=np.int64)
        kept = sold[linux.pool]
        place = np.cumsum(sold) - 1 + len(pools)
        rows.append(place[linux.pool][kept])
        ats.append(linux.at[kept])
        prices.append((linux.price + fee[linux.pool])[kept])
        pools += [
            Pool(region, zone, kind, product) for (zone, kind), is_sold in zip(offered, sold, strict=True) if is_sold
        ]
    if not pools:
        return no_records()
    return PriceRecords(tuple(pools), np.concatenate(rows), np.concatenate(ats), np.concatenate(prices))
