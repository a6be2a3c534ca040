"""The past for a replay, put together: from files of prices and traces, or from the server's own history."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from engines.catalogue import Catalogue
from engines.contract import Architecture
from engines.replay.advisor import Advisor
from engines.replay.comparing import INTERRUPTION_NODE_HOURS, Comparison, Progress, compare, plays
from engines.replay.entrants import entered
from engines.replay.errors import WindowEmpty
from engines.replay.traces import trace_world
from engines.replay.workload import ON_PRICES, ON_TRACES
from engines.replay.world import Floats, Place, World, step_prices
from gapfill.features.on_demand_list import on_demand_tables, read_on_demand_list
from gapfill.pools import LINUX, Pool
from gapfill.price_files import read_price_file

_DECIDE_EVERY = 6
_WARM_UP = timedelta(days=7)
# AWS repeats an unchanged price about every 24 hours; what has been silent for longer may be gone.
_SILENCE = timedelta(hours=25)
# AWS's Graviton families have a g right after their generation's digit; the first of them was a1.
_ARM = re.compile(r"a1|[a-z]+\d+g[a-z]*")


@dataclass(frozen=True, slots=True)
class Files:
    """Where a replay of files finds its past; `advisor` is the feed's JSON, `traces` folders of availability."""

    prices: Path | None
    on_demand: Path
    advisor: Path
    traces: tuple[Path, ...] = ()

    def only(self, part: str) -> "Files":
        """Return the same files with `prices` or `traces` alone, or `all` of them."""
        return replace(
            self, prices=None if part == "traces" else self.prices, traces=() if part == "prices" else self.traces
        )

    @classmethod
    def beneath(cls, folder: Path) -> "Files":
        """Return the files of a data folder, each found by its name's beginning; raises WindowEmpty."""

        def one(pattern: str) -> Path:
            found = sorted(folder.glob(pattern))
            if not found:
                raise WindowEmpty(f"{folder} has no {pattern}")
            return found[0]

        traces = tuple(sorted(path for path in folder.glob("spot_traces/*_*") if path.is_dir()))
        return cls(one("spot_history_*.parquet"), one("on_demand_*.csv"), one("spot_advisor_*.json"), traces)


def replay_files(
    files: Files,
    catalogue: Catalogue,
    engine_ids: Sequence[str],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    draws: int = 0,
    progress: Progress | None = None,
) -> Iterator[Comparison]:
    """Replay engines over the price file, then over each trace, at every cost of an interruption.

    Raises what reading the files and opening the engines raises.
    """
    progress = progress or Progress()
    worlds = [(w, ON_PRICES if w.available is None else ON_TRACES) for w in worlds_of_files(files, start, end)]
    with entered(catalogue, engine_ids) as entrants:
        progress.total = sum(plays(len(work), entrants, len(INTERRUPTION_NODE_HOURS), draws) for _, work in worlds)
        for world, workloads in worlds:
            yield from compare(world, workloads, entrants, draws=draws, progress=progress)


def worlds_of_files(files: Files, start: datetime | None = None, end: datetime | None = None) -> list[World]:
    """Return the price file's world over [start, end), then each trace's; raises what reading them raises."""
    advisor = Advisor.read(files.advisor.read_bytes())
    on_demand, types = on_demand_tables(read_on_demand_list(files.on_demand))
    found = []
    if files.prices is not None:
        points = read_price_file(files.prices).points
        found.append(price_world(files.prices.stem, points, on_demand, types, advisor, start=start, end=end))
    listed = {
        (region, name): micro / 1e6
        for region, name, micro in on_demand.filter(product=LINUX)
        .select("region", "instance_type", "price_micro_usd")
        .iter_rows()
    }
    found += [trace_world(folder, listed, advisor) for folder in files.traces]
    return found


def price_world(
    name: str,
    points: pl.DataFrame,
    on_demand: pl.DataFrame,
    types: pl.DataFrame,
    advisor: Advisor | None,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    product: str = LINUX,
) -> World:
    """Return the hourly past of a product's pools whose type, on-demand price and make-up are known.

    `points` are `frames.PRICES`, `on_demand` `frames.ON_DEMAND`, `types` `frames.INSTANCE_TYPES`. Without `start` the
    window begins on the eighth day, without `end` with the last record. Raises WindowEmpty.
    """
    mine = points.filter(pl.col("pool_id").str.ends_with(f"/{product}")).sort("pool_id", "at")
    begin, last = _window(mine, start, end)
    grid = np.arange(begin.timestamp(), last.timestamp(), 3600.0)
    prices_of, made_of = _on_demand_prices(on_demand, product), _made_of(types)
    places: list[Place] = []
    columns: list[Floats] = []
    for (pool_id,), rows in mine.group_by("pool_id", maintain_order=True):
        pool = Pool.parse(str(pool_id))
        on_demand_usd = prices_of.get((pool.region, pool.instance_type))
        made = made_of.get(pool.instance_type)
        if on_demand_usd is None or made is None:
            continue
        times = rows["at"].dt.timestamp("us").to_numpy() / 1e6
        column = step_prices(times, rows["price_micro_usd"].to_numpy() / 1e6, grid)
        if not np.isnan(column).all():
            places.append(_place(pool, on_demand_usd, made))
            columns.append(column)
    if not places:
        raise WindowEmpty(f"no pool of {product} has a price, an on-demand price and a known type in the window")
    hazard = np.array([_advised(advisor, place) for place in places])
    price = np.stack(columns, axis=1)
    return World(
        name=name,
        start=begin,
        tick_hours=1.0,
        decide_every=_DECIDE_EVERY,
        places=tuple(places),
        price=price,
        probability=np.broadcast_to(-np.expm1(-hazard), price.shape).copy(),
        confidence=np.full(price.shape, 0.5),
        hazard=np.nan_to_num(hazard),
        horizon_hours=1.0,
        predicted_by="the advisor's buckets",
        market_id=f"replay:{name}",
    )


def _window(points: pl.DataFrame, start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    first, newest = points["at"].min(), points["at"].max()
    if not isinstance(first, datetime) or not isinstance(newest, datetime):
        raise WindowEmpty("there are no prices")
    begin = (start or first + _WARM_UP).astimezone(UTC)
    whole = begin.replace(minute=0, second=0, microsecond=0)
    begin = whole if whole == begin else whole + timedelta(hours=1)
    last = min(end, newest + _SILENCE) if end else newest
    if last <= begin:
        raise WindowEmpty(f"prices from {first:%Y-%m-%d} to {newest:%Y-%m-%d} have nothing in the window")
    return begin, last


def _advised(advisor: Advisor | None, place: Place) -> float:
    advice = advisor.get(place.region, place.product, place.instance_type) if advisor else None
    return advice.hazard if advice else float("nan")


def _on_demand_prices(on_demand: pl.DataFrame, product: str) -> dict[tuple[str, str], float]:
    last = on_demand.filter(pl.col("product") == product).sort("at")
    rows = last.select("region", "instance_type", "price_micro_usd").iter_rows()
    return {(region, name): micro / 1e6 for region, name, micro in rows}


def _made_of(types: pl.DataFrame) -> Mapping[str, tuple[float, float, int, str]]:
    rows = types.select("instance_type", "vcpu", "memory_mib", "gpus", "architecture").iter_rows()
    return {
        name: (float(vcpu), memory_mib / 1024, gpus or 0, architecture or "")
        for name, vcpu, memory_mib, gpus, architecture in rows
        if vcpu and memory_mib
    }


def _place(pool: Pool, on_demand: float, made: tuple[float, float, int, str]) -> Place:
    vcpu, memory_gib, gpus, architecture = made
    arm = architecture == "arm64" or bool(_ARM.fullmatch(pool.instance_type.split(".")[0]))
    built: Architecture = "arm64" if arm else "x86_64"
    return Place(
        pool_id=pool.pool_id,
        region=pool.region,
        availability_zone=pool.zone,
        instance_type=pool.instance_type,
        on_demand=on_demand,
        vcpu=vcpu,
        memory_gib=memory_gib,
        gpus=gpus,
        architecture=built,
        product=pool.product,
    )
