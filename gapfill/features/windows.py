"""What the price did in the windows before each ask: means, deviations, extremes, changes, and how much was seen."""

from datetime import timedelta

import numpy as np
import polars as pl

from gapfill.features.steps import microseconds
from gapfill.gaps import SILENCE

WINDOWS: dict[str, timedelta] = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
_WEEK = WINDOWS["7d"]


def with_windows(asks: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """The asks with the columns of the price's history that `state.build_state` names.

    `asks` holds `pool` and `at` (microseconds) and is sorted by both; `steps` has the schema `steps.STEPS`.
    """
    numbered = steps.with_row_index("row")
    row = _rows_at(numbered, asks, 0)
    known = asks.with_columns(
        row,
        _take(steps, "first", row),
        _take(steps, "at", row).alias("since"),
        _take(steps, "price", row),
        _take(steps, "area", row),
        _take(steps, "area2", row),
        _take(steps, "changes", row),
        _take(steps, "at", _take(steps, "changed", row)).alias("changed_at"),
        _take(steps, "at", _take(steps, "gap_end", row)).alias("gap_end_at"),
        _take(steps, "at", _take(steps, "first", row)).alias("first_at"),
    ).with_columns(
        silent=pl.col("at") - pl.col("since") > microseconds(SILENCE),
        observed_at=pl.from_epoch("since", time_unit="us").dt.replace_time_zone("UTC"),
    )
    for tag, window in WINDOWS.items():
        known = _with_window(known, steps, numbered, tag, window)
    return _with_extremes(known, steps).with_columns(
        since_change=(pl.col("at") - pl.coalesce("changed_at", "first_at")).clip(upper_bound=microseconds(_WEEK)),
    )


def _rows_at(numbered: pl.DataFrame, asks: pl.DataFrame, ago: int) -> pl.Series:
    """For each ask the row of the last point at or before `at` - `ago` microseconds; null where there is none."""
    return asks.select("pool", pl.col("at") - ago).join_asof(
        numbered.select("pool", "at", "row"), on="at", by="pool", strategy="backward", check_sortedness=False
    )["row"]


def _take(steps: pl.DataFrame, column: str, rows: pl.Series) -> pl.Series:
    return steps[column].gather(rows)


def _with_window(
    known: pl.DataFrame, steps: pl.DataFrame, numbered: pl.DataFrame, tag: str, window: timedelta
) -> pl.DataFrame:
    """Adds `mean_`, `std_`, `changes_`, `start_`, `span_`, `partial_` and `from_`, the row that holds at its start."""
    begin = pl.col("at") - microseconds(window)
    held = _rows_at(numbered, known, microseconds(window))
    start = held.fill_null(known["first"]) if held.null_count() else held
    at_start = pl.DataFrame(
        {
            "s_at": _take(steps, "at", start),
            "s_price": _take(steps, "price", start),
            "s_area": _take(steps, "area", start),
            "s_area2": _take(steps, "area2", start),
            "s_changes": _take(steps, "changes", start),
            "s_row": start,
            "s_early": held.is_null(),
        }
    )
    both = pl.concat([known, at_start], how="horizontal").with_columns(
        s_from=pl.max_horizontal(begin, "s_at"),
    )
    return (
        _with_moments(both, tag)
        .with_columns(
            (pl.col("changes") - pl.col("s_changes")).alias(f"changes_{tag}"),
            pl.col("s_price").alias(f"start_{tag}"),
            pl.col("s_row").alias(f"from_{tag}"),
            (pl.col("s_early") | pl.col("silent") | (pl.col("gap_end_at") > begin).fill_null(value=False)).alias(
                f"partial_{tag}"
            ),
        )
        .drop(at_start.columns, "s_from")
    )


def _with_moments(both: pl.DataFrame, tag: str) -> pl.DataFrame:
    """Adds `span_`, `mean_` and `std_`: integrals over the covered part, exact until the last division.

    The deviation is taken around the whole micro-USD below the mean, so that nothing large cancels in floating point.
    """
    price, span = pl.col("price").cast(pl.Int128), pl.col("m_span")
    s_price = pl.col("s_price").cast(pl.Int128)
    after, s_after = pl.col("at") - pl.col("since"), pl.col("s_from") - pl.col("s_at")
    base, rest = pl.col("m_base"), pl.col("m_rest") / span
    return (
        both.with_columns(
            m_span=pl.col("at") - pl.col("s_from"),
            m_area=pl.col("area") + price * after - pl.col("s_area") - s_price * s_after,
            m_area2=pl.col("area2") + price * price * after - pl.col("s_area2") - s_price * s_price * s_after,
        )
        .with_columns(m_base=pl.when(span > 0).then(pl.col("m_area") // span).otherwise(price))
        .with_columns(
            m_rest=(pl.col("m_area") - base * span).cast(pl.Float64),
            m_rest2=(pl.col("m_area2") - 2 * base * pl.col("m_area") + base * base * span).cast(pl.Float64),
        )
        .with_columns(
            span.alias(f"span_{tag}"),
            pl.when(span > 0).then(base.cast(pl.Float64) + rest).otherwise("price").alias(f"mean_{tag}"),
            pl.when(span > 0)
            .then((pl.col("m_rest2") / span - rest * rest).clip(0.0).sqrt())
            .otherwise(pl.when(pl.col("price").is_not_null()).then(0.0))
            .alias(f"std_{tag}"),
        )
        .drop("m_span", "m_area", "m_area2", "m_base", "m_rest", "m_rest2")
    )


def _with_extremes(known: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """Adds `low_7d` and `high_7d`: of the prices of the rows from the window's first to the last."""
    seen = known.select("from_7d", "row").with_row_index("n").drop_nulls().sort("from_7d", "row")
    if seen.is_empty():
        return known.with_columns(low_7d=pl.lit(None, pl.Int64), high_7d=pl.lit(None, pl.Int64))
    # reduceat takes pairs [from, to); the rows between one pair's end and the next one's start are reduced in vain,
    # which in sorted order is at most one walk over the table.
    pairs = np.column_stack([seen["from_7d"].to_numpy(), seen["row"].to_numpy() + 1]).astype(np.intp).ravel()
    prices = np.append(steps["price"].to_numpy(), 0)
    found = seen.select(
        "n",
        low_7d=pl.Series(np.minimum.reduceat(prices, pairs)[::2]),
        high_7d=pl.Series(np.maximum.reduceat(prices, pairs)[::2]),
    )
    return known.with_row_index("n").join(found, on="n", how="left", maintain_order="left").drop("n")
