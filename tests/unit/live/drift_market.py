"""A month of the simulated market as feature blocks, and ways to spoil it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl

from gapfill.features import compute
from gapfill.features.registry import NAMES
from gapfill.frames import ASKS, INSTANCE_TYPES, INSTANT, ON_DEMAND, PRICES
from gapfill.market.simulate import SimulatedMarket
from gapfill.market.source import Wanted
from gapfill.pools import LINUX
from services.live.board import FeatureBlock

START = datetime(2026, 1, 1, tzinfo=UTC)
GAP = START + timedelta(days=7)  # the model's data end here: its reference is the week after
LIVE = GAP + timedelta(days=7)
REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
TYPES = ("m5.large", "m5.xlarge", "c5.large", "c5.xlarge", "r5.large", "r5.2xlarge")
Change = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class Market:
    """Price points from START to `end`, and what is known of types."""

    points: pl.DataFrame
    on_demand: pl.DataFrame
    types: pl.DataFrame

    def with_points(self, change: Change) -> "Market":
        """With other prices."""
        return replace(self, points=change(self.points))

    def rows(self, start: datetime, end: datetime, every: str) -> pl.DataFrame:
        """Feature rows of all pools."""
        instants = pl.datetime_range(start, end, every, closed="left", time_unit="us", time_zone="UTC", eager=True)
        pools = self.points["pool_id"].unique().sort()
        asks = pl.DataFrame({"as_of": instants}).join(pl.DataFrame({"pool_id": pools}), how="cross")
        asks = asks.with_columns(pl.lit(None, INSTANT).alias("launched_at")).select(*ASKS)
        return compute(self.points, asks, self.on_demand, self.types)

    def blocks(self, start: datetime, end: datetime, every: str = "2h") -> Iterator[FeatureBlock]:
        """What the loop would have made of it."""
        rows = self.rows(start, end, every)
        whole = FeatureBlock.from_frame(
            rows, NAMES, seq=0, as_of=start, market_id="sim:3", known_at=np.zeros(rows.height), types={}
        )
        instants = rows["as_of"].unique(maintain_order=True).to_list()
        pools = rows.height // len(instants)
        for seq, at in enumerate(instants):
            own = slice(seq * pools, (seq + 1) * pools)
            yield replace(
                whole,
                seq=seq + 1,
                as_of=at,
                pool_ids=whole.pool_ids[own],
                matrix=whole.matrix[own],
                imputed=whole.imputed[own],
                observed_at=whole.observed_at[own],
                known_at=np.full(pools, at.timestamp()),
            )


@cache
def market(seed: int = 3, days: int = 44, regions: tuple[str, ...] = REGIONS, types: tuple[str, ...] = TYPES) -> Market:
    """The market of a seed."""
    source = SimulatedMarket(seed, regions, types)
    end = int((START + timedelta(days=days)).timestamp())
    points, listed, kinds = [], [], {}
    for region in source.regions():
        found = source.records(region, Wanted(products=frozenset({LINUX})), int(START.timestamp()), end)
        names = np.array([pool.pool_id for pool in found.pools])
        at = pl.Series(found.at * 1_000_000).cast(INSTANT)
        points.append(
            pl.DataFrame({"pool_id": names[found.row], "zone_id": "", "at": at, "price_micro_usd": found.price})
        )
        for name, kind in source.kinds(region).items():
            listed.append((region, name, LINUX, START, source.on_demand(region, name, LINUX)))
            kinds[name] = (name, kind.vcpu, kind.memory_mib, "x86_64", 0)
    return Market(
        pl.concat(points).select(*PRICES),
        pl.DataFrame(listed, schema=ON_DEMAND, orient="row"),
        pl.DataFrame(list(kinds.values()), schema=INSTANCE_TYPES, orient="row"),
    )


def times(factor: float, since: datetime, region: str = "") -> Change:
    """All prices (of a region) multiplied from an instant on, each pool repriced at once."""

    def change(points: pl.DataFrame) -> pl.DataFrame:
        mine = pl.col("pool_id").str.starts_with(region)
        more = (pl.col("price_micro_usd") * factor).round().cast(pl.Int64)
        held = points.filter(mine, pl.col("at") < since).sort("at").group_by("pool_id").last()
        jump = held.with_columns(pl.lit(since).cast(INSTANT).alias("at"), more).select(*PRICES)
        later = points.with_columns(
            pl.when(mine & (pl.col("at") >= since)).then(more).otherwise("price_micro_usd").alias("price_micro_usd")
        )
        return pl.concat([later, jump]).unique(["pool_id", "at"], keep="last")

    return change
