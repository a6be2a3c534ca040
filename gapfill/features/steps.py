"""Price points as a step function with running integrals, so that any window is the difference of two of them.

The integrals are exact: 128-bit integers of micro-USD (and its square) times microseconds. That is why a row computed
from a whole history equals, bit for bit, the same row computed from its last seven days.
"""

from datetime import timedelta

import polars as pl

from gapfill.gaps import SILENCE

STEPS = pl.Schema(
    {
        "pool": pl.UInt32(),
        "at": pl.Int64(),  # microseconds since the epoch
        "price": pl.Int64(),  # micro-USD per hour
        "first": pl.UInt32(),  # the row of the pool's first point
        "area": pl.Int128(),  # integral of the price until `at`
        "area2": pl.Int128(),  # integral of its square until `at`
        "changes": pl.Int64(),  # how often the price had changed until `at`, this point included
        "changed": pl.UInt32(),  # the row of the last change until `at`; null before the pool's first
        "gap_end": pl.UInt32(),  # the row of the last point that came after too long a silence; null before the first
    }
)


def microseconds(span: timedelta) -> int:
    """The whole microseconds of a span."""
    return span // timedelta(microseconds=1)


def refuse_no_prices(table: pl.DataFrame, named: str) -> None:
    """Raises ValueError when a `price_micro_usd` is null, zero or negative; `named` is the column that says whose."""
    refused = table.filter(pl.col("price_micro_usd").is_null() | (pl.col("price_micro_usd") <= 0))
    if not refused.is_empty():
        raise ValueError(f"not a price: {refused['price_micro_usd'][0]} micro-USD for {refused[named][0]}")


def build_steps(points: pl.DataFrame, pools: pl.DataFrame) -> pl.DataFrame:
    """Rows by pool and time (schema `STEPS`) of the points (`frames.PRICES`) of `pools` (pool_id, pool).

    Raises ValueError on a price that is null, zero or negative. Of points of one pool and instant that disagree, the
    highest price counts, in whatever order they come.
    """
    refuse_no_prices(points, "pool_id")
    rows = (
        points.lazy()
        .join(pools.lazy(), on="pool_id")
        .select("pool", pl.col("at").dt.epoch("us"), pl.col("price_micro_usd").alias("price"))
        .sort("pool", "at", "price")
        .unique(["pool", "at"], keep="last", maintain_order=True)
        .with_row_index("row")
        .collect()
    )
    return _integrate(rows)


def _integrate(rows: pl.DataFrame) -> pl.DataFrame:
    same = (pl.col("pool") == pl.col("pool").shift()).fill_null(value=False)
    marked = rows.with_columns(
        same=same,
        held=pl.when(same).then(pl.col("at") - pl.col("at").shift()).otherwise(0),
        before=pl.when(same).then(pl.col("price").shift()).otherwise(pl.col("price")).cast(pl.Int128),
    )
    change = pl.col("same") & (pl.col("before") != pl.col("price"))
    after_silence = pl.col("held") > microseconds(SILENCE)
    return (
        marked.with_columns(
            first=_last_row_where(~pl.col("same")),
            # Sums run on across pools: only differences within a pool are ever taken.
            area=(pl.col("before") * pl.col("held")).cum_sum(),
            area2=(pl.col("before") * pl.col("before") * pl.col("held")).cum_sum(),
            changes=change.cast(pl.Int64).cum_sum(),
            changed=_last_row_where(change),
            gap_end=_last_row_where(after_silence),
        )
        .with_columns(
            pl.when(pl.col("changed") > pl.col("first")).then("changed").alias("changed"),
            pl.when(pl.col("gap_end") > pl.col("first")).then("gap_end").alias("gap_end"),
        )
        .select(*STEPS)
        .cast(STEPS)
    )


def _last_row_where(marked: pl.Expr) -> pl.Expr:
    return pl.when(marked).then("row").otherwise(None).forward_fill()
