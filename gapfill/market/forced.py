"""A market whose prices can be forced: any source, with the forced points woven into its history."""

from collections.abc import Sequence

import numpy as np

from gapfill.market.catalogue import InstanceKind
from gapfill.market.hashing import Ints
from gapfill.market.source import Interruption, MarketSource, PriceRecords, Wanted
from gapfill.market.state import ForcedPoint, MarketState
from gapfill.pools import Pool


class ForcedPrices:
    """A `MarketSource` over another one. A forced price holds until it is released or forced anew."""

    def __init__(self, source: MarketSource, state: MarketState) -> None:
        self._source = source
        self._state = state

    def force(self, pool: Pool, at: int, price: int) -> None:
        """Let `pool` cost `price` (micro-USD) from `at` on; raises KeyError for a pool that is not on offer."""
        self._natural(pool, at)
        self._add(ForcedPoint(pool.pool_id, at, price, held=True))

    def release(self, pool: Pool, at: int) -> int:
        """Let `pool` follow its own path again from `at` on, and say what it costs there; raises KeyError likewise."""
        price = self._natural(pool, at)
        self._add(ForcedPoint(pool.pool_id, at, price, held=False))
        return price

    def _add(self, point: ForcedPoint) -> None:
        """One point per pool and second: the later order wins."""
        others = [one for one in self._state.forced if (one.pool_id, one.at) != (point.pool_id, point.at)]
        self._state.forced = sorted([*others, point], key=lambda one: one.at)
        self._state.save()

    def _natural(self, pool: Pool, at: int) -> int:
        wanted = Wanted(frozenset({pool.instance_type}), frozenset({pool.product}), frozenset({pool.zone}))
        found = self._source.records(pool.region, wanted, at, at)
        if not len(found.price):
            raise KeyError(pool.pool_id)
        return int(found.price[-1])

    @property
    def market_id(self) -> str:
        """See `MarketSource`."""
        return self._source.market_id

    def identity(self) -> dict[str, object]:
        """See `MarketSource`."""
        return self._source.identity()

    def regions(self) -> tuple[str, ...]:
        """See `MarketSource`."""
        return self._source.regions()

    def zones(self, region: str) -> dict[str, str]:
        """See `MarketSource`."""
        return self._source.zones(region)

    def kinds(self, region: str) -> dict[str, InstanceKind]:
        """See `MarketSource`."""
        return self._source.kinds(region)

    def offered(self, region: str) -> tuple[tuple[str, str], ...]:
        """See `MarketSource`."""
        return self._source.offered(region)

    def products(self, region: str, instance_type: str) -> tuple[str, ...]:
        """See `MarketSource`."""
        return self._source.products(region, instance_type)

    def on_demand(self, region: str, instance_type: str, product: str) -> int | None:
        """See `MarketSource`."""
        return self._source.on_demand(region, instance_type, product)

    def interruptions(self, region: str, start: int, end: int) -> list[Interruption]:
        """See `MarketSource`."""
        return self._source.interruptions(region, start, end)

    def records(self, region: str, wanted: Wanted, start: int, end: int) -> PriceRecords:
        """See `MarketSource`."""
        found = self._source.records(region, wanted, start, end)
        forced: dict[str, list[ForcedPoint]] = {}
        for point in self._state.forced:
            if point.at <= end and point.pool_id.startswith(f"{region}/"):
                forced.setdefault(point.pool_id, []).append(point)
        if not forced:
            return found
        return _woven(found, forced, start)


def _woven(found: PriceRecords, forced: dict[str, list[ForcedPoint]], start: int) -> PriceRecords:
    """`found` with forced points in place; only the pools concerned are touched."""
    touched = {row: forced[pool.pool_id] for row, pool in enumerate(found.pools) if pool.pool_id in forced}
    parts: list[tuple[Ints, Ints, Ints]] = []
    for row, points in touched.items():
        own = found.row == row
        at, price = _one_pool(found.at[own], found.price[own], points, start)
        parts.append((np.full(len(at), row, dtype=np.int64), at, price))
    rest = ~np.isin(found.row, np.fromiter(touched, dtype=np.int64, count=len(touched)))
    parts.append((found.row[rest], found.at[rest], found.price[rest]))
    rows, ats, prices = (np.concatenate([part[n] for part in parts]) for n in range(3))
    order = np.lexsort((ats, rows))
    return PriceRecords(found.pools, rows[order], ats[order], prices[order])


def _one_pool(at: Ints, price: Ints, points: Sequence[ForcedPoint], start: int) -> tuple[Ints, Ints]:
    """A pool's records: repriced while held, its forced points added, cut to the carry-in and what follows."""
    when = np.array([one.at for one in points], dtype=np.int64)
    held = np.array([one.held for one in points], dtype=bool)
    asked = np.array([one.price for one in points], dtype=np.int64)
    segment = np.searchsorted(when, at, side="right") - 1
    reigns = (segment >= 0) & held[segment]
    price = np.where(reigns, asked[segment], price)
    own = ~np.isin(at, when)
    at, price = np.concatenate([at[own], when]), np.concatenate([price[own], asked])
    order = np.argsort(at, kind="stable")
    at, price = at[order], price[order]
    first = max(int(np.searchsorted(at, start, side="left")) - 1, 0)
    return at[first:], price[first:]
