"""What was known at each ask: the columns that the registry's formulas are written over."""

import numpy as np
import polars as pl

from gapfill.features.sizes import sizes
from gapfill.features.steps import build_steps, refuse_no_prices
from gapfill.features.windows import with_windows
from gapfill.frames import INSTANT
from gapfill.scope import with_places

_SERIES = ["region", "instance_type", "product"]


def build_state(
    points: pl.DataFrame, asks: pl.DataFrame, on_demand: pl.DataFrame, instance_types: pl.DataFrame
) -> pl.DataFrame:
    """One row per ask, in the asks' order; the arguments are those of `features.compute`, which documents them.

    As they were: `pool_id`, `as_of`. The point that holds: `price` (micro-USD), `observed_at` (UTC), `silent`. For
    each window tag (1h, 24h, 7d): `mean_`, `std_` (micro-USD, float), `changes_`, `start_` (the price at the window's
    start), `span_` (microseconds covered), `partial_` (history covers it only in part); `low_7d`, `high_7d`,
    `since_change` (microseconds). All these are null where the pool has no point yet. Of the type: `vcpu`,
    `memory_mib`, `vcpu_by_rule`, `memory_by_rule`, `size_rank`. Of on-demand: `on_demand` (micro-USD),
    `on_demand_backward`. Of the ask: `age` (microseconds since the launch), `clock` (the later of as_of and launch).
    Units to divide by: `micro_usd`, `hour_us`.
    """
    pools = asks.select(pl.col("pool_id").unique(maintain_order=True)).with_row_index("pool")
    steps = build_steps(points, pools)
    keyed = _keyed(asks).join(pools, on="pool_id", how="left", maintain_order="left").sort("pool", "at")
    rows = with_windows(keyed, steps)
    rows = rows.join(_make_up(pools, instance_types), on="pool", how="left", maintain_order="left")
    return _with_on_demand(rows, on_demand).sort("ask").with_columns(_units(rows.height))


def _units(height: int) -> list[pl.Series]:
    return [pl.Series("micro_usd", np.full(height, 1e6)), pl.Series("hour_us", np.full(height, 3.6e9))]


def _keyed(asks: pl.DataFrame) -> pl.DataFrame:
    launched = pl.col("launched_at" if "launched_at" in asks.columns else "as_of").cast(INSTANT)
    return asks.with_row_index("ask").select(
        "ask",
        "pool_id",
        "as_of",
        pl.col("as_of").dt.epoch("us").alias("at"),
        pl.max_horizontal("as_of", launched).alias("clock"),
        (pl.col("as_of") - launched).dt.total_microseconds().clip(0).fill_null(0).alias("age"),
    )


def _make_up(pools: pl.DataFrame, instance_types: pl.DataFrame) -> pl.DataFrame:
    """Per pool: its place, and what its type is made of, by the table or else by the size's name."""
    placed = with_places(pools).drop("pool_id")
    told = instance_types.select("instance_type", "vcpu", "memory_mib").unique(
        "instance_type", keep="last", maintain_order=True
    )
    named = sizes(placed["instance_type"].unique())
    return (
        placed.join(told, on="instance_type", how="left")
        .join(named, on="instance_type", how="left")
        .with_columns(vcpu_by_rule=pl.col("vcpu").is_null(), memory_by_rule=pl.col("memory_mib").is_null())
        .with_columns(
            vcpu=pl.coalesce("vcpu", "rule_vcpu"),
            memory_mib=pl.coalesce("memory_mib", "rule_memory_mib"),
        )
        .drop("rule_vcpu", "rule_memory_mib")
    )


def _with_on_demand(rows: pl.DataFrame, on_demand: pl.DataFrame) -> pl.DataFrame:
    """Adds the price that held at each ask; before the first one seen, that one, marked as taken backward."""
    refuse_no_prices(on_demand, "instance_type")
    prices = on_demand.select(
        *_SERIES, pl.col("at").dt.epoch("us").alias("at"), pl.col("price_micro_usd").alias("on_demand")
    ).sort("at", "on_demand")
    earliest = prices.unique(_SERIES, keep="first", maintain_order=True).rename({"on_demand": "earliest"}).drop("at")
    return (
        rows.sort("at")
        .join_asof(prices, on="at", by=_SERIES, strategy="backward", check_sortedness=False)
        .join(earliest, on=_SERIES, how="left", maintain_order="left")
        .with_columns(on_demand_backward=pl.col("on_demand").is_null())
        .with_columns(on_demand=pl.coalesce("on_demand", "earliest"))
    )
