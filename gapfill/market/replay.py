"""Real spot history served as if it happened now: every time in the file is shifted by the same number of whole weeks.

The shift. Without `end` it is the least number of weeks that leaves at least 7 days of the file still to arrive:
`ceil((now + 7 d − last) / 7 d)`, where `last` is the file's last record; between 7 and 14 days then lie ahead. With
`end` the instant `end` of the file is laid on now as nearly as whole weeks allow without reaching past it:
`floor((now − end) / 7 d)`, so that at this moment between 0 and 7 days of the file after `end` have already happened,
and the rest arrives live; `end` must lie at least 14 days before `last`. Whole weeks keep hour and weekday of every
price. The shift is made once: who keeps it (see `state.py`) meets the same history again after a restart.
"""

import csv
import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from gapfill.errors import PriceFileInvalid
from gapfill.market import catalogue
from gapfill.market.catalogue import InstanceKind
from gapfill.market.errors import OptionsInvalid
from gapfill.market.hashing import Ints
from gapfill.market.source import Interruption, PriceRecords, Wanted, no_records
from gapfill.pools import PRODUCTS, Pool
from gapfill.price_files import read_raw_prices
from gapfill.zones import usual_zone_id

WEEK_S = 7 * 86_400
_SYSTEMS = {"linux": PRODUCTS[0], "rhel": PRODUCTS[1], "sles": PRODUCTS[2], "mswin": PRODUCTS[3]}
OnDemand = dict[tuple[str, str, str], int]


def shift_weeks(now: int, last: int, end: int | None = None) -> int:
    """The shift by the rule of this module, all instants in seconds; raises OptionsInvalid when `end` is too late."""
    if end is None:
        return -((last - now - WEEK_S) // WEEK_S)
    if end > last - 2 * WEEK_S:
        latest = datetime.fromtimestamp(last - 2 * WEEK_S, UTC).date()
        raise OptionsInvalid("end", f"leaves less than 7 days to arrive live; it may be {latest} at the latest")
    return (now - end) // WEEK_S


def file_digest(path: Path) -> str:
    """The first 12 hexadecimal digits of the file's sha256; raises PriceFileInvalid when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise PriceFileInvalid(path.name, f"cannot be read: {error.strerror}") from error


class ReplayMarket:
    """A `MarketSource` over one file, anomalies (zero prices, holes) included; it knows no interruptions."""

    def __init__(self, path: Path, weeks: int, on_demand: Path | None = None) -> None:
        """Raises PriceFileInvalid for a file that is none, OptionsInvalid for a wrong on-demand file."""
        self._digest = file_digest(path)
        self._weeks = weeks
        raw = read_raw_prices(path)
        if not raw.height:
            raise PriceFileInvalid(path.name, "has no records")
        self._pools, self._first, self._at, self._price = _columns(raw, weeks * WEEK_S)
        self._zones = _zones(raw)
        listed = _read_on_demand(on_demand) if on_demand is not None else ({}, {})
        self._on_demand: OnDemand = listed[0]
        self._has_list = on_demand is not None
        self._kinds = _kinds({pool.instance_type for pool in self._pools}, listed[1])
        self._by_region: dict[str, list[int]] = {}
        for row, pool in enumerate(self._pools):
            self._by_region.setdefault(pool.region, []).append(row)

    @property
    def market_id(self) -> str:
        """`replay:<sha256, 12 digits>+<weeks>w`."""
        return f"replay:{self._digest}+{self._weeks}w"

    def identity(self) -> dict[str, object]:
        """The shift, and when the file's last record arrives (after it, nothing new comes)."""
        return {"shift_weeks": self._weeks, "ends_at": datetime.fromtimestamp(int(self._at.max()), UTC)}

    def regions(self) -> tuple[str, ...]:
        """See `MarketSource`."""
        return tuple(sorted(self._by_region))

    def zones(self, region: str) -> dict[str, str]:
        """See `MarketSource`."""
        return self._zones[region]

    def kinds(self, region: str) -> dict[str, InstanceKind]:
        """See `MarketSource`."""
        names = sorted({self._pools[row].instance_type for row in self._by_region[region]})
        return {name: self._kinds[name] for name in names if name in self._kinds}

    def offered(self, region: str) -> tuple[tuple[str, str], ...]:
        """See `MarketSource`."""
        pools = (self._pools[row] for row in self._by_region[region])
        return tuple(sorted({(pool.zone, pool.instance_type) for pool in pools}))

    def products(self, region: str, instance_type: str) -> tuple[str, ...]:
        """See `MarketSource`."""
        pools = (self._pools[row] for row in self._by_region[region])
        found = {pool.product for pool in pools if pool.instance_type == instance_type}
        return tuple(product for product in PRODUCTS if product in found)

    def on_demand(self, region: str, instance_type: str, product: str) -> int | None:
        """See `MarketSource`; from the list that was given, without one from the catalogue."""
        if self._has_list:
            return self._on_demand.get((region, instance_type, product))
        return catalogue.on_demand_micro(region, instance_type, product)

    def records(self, region: str, wanted: Wanted, start: int, end: int) -> PriceRecords:
        """See `MarketSource`."""
        chosen = [row for row in self._by_region[region] if wanted.takes(self._pools[row])]
        parts: list[Ints] = []
        rows: list[Ints] = []
        for place, row in enumerate(chosen):
            low, high = self._first[row], self._first[row + 1]
            since = max(low + int(np.searchsorted(self._at[low:high], start, side="left")) - 1, low)
            until = low + int(np.searchsorted(self._at[low:high], end, side="right"))
            parts.append(np.arange(since, max(until, since), dtype=np.int64))
            rows.append(np.full(len(parts[-1]), place, dtype=np.int64))
        if not chosen:
            return no_records()
        taken = np.concatenate(parts)
        pools = tuple(self._pools[row] for row in chosen)
        return PriceRecords(pools, np.concatenate(rows), self._at[taken], self._price[taken])

    def interruptions(self, region: str, start: int, end: int) -> list[Interruption]:
        """None: spot history does not say when instances were interrupted."""
        del region, start, end
        return []


def _columns(raw: pl.DataFrame, shift: int) -> tuple[tuple[Pool, ...], list[int], Ints, Ints]:
    """Pools, where each one's records begin (and the end), their shifted seconds and micro-USD; NaN counts as 0."""
    keys = ["region", "zone", "instance_type", "product"]
    raw = raw.unique([*keys, "at"], keep="last", maintain_order=True).sort([*keys, "at"])
    groups = raw.group_by(keys, maintain_order=True).len()
    first = [0, *groups["len"].cum_sum().to_list()]
    at = (raw["at"].dt.epoch("s") + shift).to_numpy().astype(np.int64)
    price = (raw["price_usd"].fill_nan(0.0) * 1_000_000).round().cast(pl.Int64).to_numpy()
    return tuple(Pool(*row) for row in groups.select(keys).iter_rows()), first, at, price


def _zones(raw: pl.DataFrame) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for region, zone, zone_id in raw.select("region", "zone", "zone_id").unique().sort("zone").iter_rows():
        found.setdefault(region, {})[zone] = zone_id or usual_zone_id(zone)
    return found


def _read_on_demand(path: Path) -> tuple[OnDemand, dict[str, tuple[int, int]]]:
    """(prices, type → (vCPU, MiB)) of a CSV `region,instance_type,os,ondemand_usd_hour,vcpu,memory_gib`."""
    prices: OnDemand = {}
    shapes: dict[str, tuple[int, int]] = {}
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                name, product = row["instance_type"], _SYSTEMS.get(row["os"])
                shapes[name] = (int(row["vcpu"]), int(float(row["memory_gib"]) * 1024))
                price = round(float(row["ondemand_usd_hour"]) * 1_000_000)
                if product is not None and price > 0:
                    prices[row["region"], name, product] = price
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise OptionsInvalid("on-demand", f"{path.name} is no list of on-demand prices: {error!r}") from error
    return prices, shapes


def _kinds(names: set[str], shapes: dict[str, tuple[int, int]]) -> dict[str, InstanceKind]:
    """What the file's types are made of; the list of on-demand prices knows better than the catalogue."""
    known = catalogue.kinds()
    found: dict[str, InstanceKind] = {}
    for name in names:
        kind = known.get(name)
        vcpu, memory = shapes.get(name, (0, 0))
        family, _, size = name.partition(".")
        if kind is None and vcpu:
            architecture = "arm64" if catalogue.is_arm(family) else "x86_64"
            found[name] = InstanceKind(name, family, size, 0, vcpu, memory, architecture, False, "", 0, 0, 0)
        elif kind is not None:
            found[name] = replace(kind, vcpu=vcpu or kind.vcpu, memory_mib=memory or kind.memory_mib)
    return found
