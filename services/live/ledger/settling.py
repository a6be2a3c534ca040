"""What became of predictions: a pure function of what is known, so that any order and any repetition agree."""

from datetime import datetime, timedelta

import polars as pl

from gapfill.frames import INSTANT, OUTCOMES
from gapfill.gaps import SILENCE

OBSERVED = "observed"
AWAITING = "awaiting_actuals"
UNKNOWN = "unknown"
KEY = ["task", "pool_id", "as_of", "target_at"]


def settle(
    predictions: pl.DataFrame, points: pl.DataFrame, interruptions: pl.DataFrame, held: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    """The outcomes (`frames.OUTCOMES`) of those predictions whose `target_at` is not after `now`, one per key.

    `predictions` has the columns of `KEY`; `points` are `frames.PRICES` of their pools from before the first `as_of`
    to after the last `target_at`; `interruptions` are `frames.INTERRUPTIONS`, `held` the spans of `exposure.spans`.

    - A price is the one in force at `target_at`, observed when its last record is at most 25 h old then; else unknown.
    - An interruption is observed when the pool had one in (as_of, target_at]; none is observed where the pool was held
      from `as_of` to `target_at`; else unknown. It counts only where the pool was held at `as_of` too: an interruption
      is told of a pool that nobody held, silence never is, and counting the one alone would tilt the base rate.
    """
    due = predictions.select(KEY).unique().filter(pl.col("target_at") <= now)
    prices = _prices(due.filter(pl.col("task") == "spot_price"), points)
    struck = _interruptions(due.filter(pl.col("task") == "spot_interruption"), interruptions, held)
    return pl.concat([prices, struck]).sort(KEY)


def _prices(due: pl.DataFrame, points: pl.DataFrame) -> pl.DataFrame:
    told = (
        points.select("pool_id", "at")
        # Not by Polars, which multiplies by the reciprocal of a constant.
        .with_columns(pl.Series("usd", points["price_micro_usd"].to_numpy() / 1e6, dtype=pl.Float64), seen="at")
        .sort("at")
    )
    then = _in_force(_in_force(due, told, "as_of", "naive"), told, "target_at", "actual")
    known = pl.col("actual").is_not_null()
    return then.with_columns(
        pl.when(known).then(pl.lit(OBSERVED)).otherwise(pl.lit(UNKNOWN)).alias("status"), known.alias("counts")
    ).select(*OUTCOMES)


def _in_force(rows: pl.DataFrame, told: pl.DataFrame, when: str, name: str) -> pl.DataFrame:
    """With the price that held at `when`; null where its last record is over 25 h older."""
    found = rows.sort(when).join_asof(
        told, left_on=when, right_on="at", by="pool_id", strategy="backward", check_sortedness=False, coalesce=False
    )
    fresh = pl.col(when) - pl.col("seen") <= SILENCE
    return found.with_columns(pl.when(fresh).then(pl.col("usd")).alias(name)).drop("usd", "seen", "at")


def _interruptions(due: pl.DataFrame, interruptions: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    real = interruptions.filter(~pl.col("injected"), pl.col("pool_id") != "").select("pool_id", "at").sort("at")
    events = real.with_columns(pl.col("at").alias("struck_at"))
    found = due.sort("as_of").join_asof(
        events,
        left_on=pl.col("as_of") + timedelta(microseconds=1),  # an interruption at as_of is what was known then
        right_on="at",
        by="pool_id",
        strategy="forward",
        check_sortedness=False,
        coalesce=False,
    )
    spans = held.with_columns(pl.col("end").alias("held_until")).sort("start").select("pool_id", "start", "held_until")
    found = found.sort("as_of").join_asof(
        spans, left_on="as_of", right_on="start", by="pool_id", strategy="backward", check_sortedness=False,
        coalesce=False,
    )  # fmt: skip
    struck = (pl.col("struck_at") <= pl.col("target_at")).fill_null(value=False)
    silent = (pl.col("held_until") >= pl.col("target_at")).fill_null(value=False)
    exposed = (pl.col("held_until") > pl.col("as_of")).fill_null(value=False)
    return found.with_columns(
        pl.when(struck | silent).then(pl.lit(OBSERVED)).otherwise(pl.lit(UNKNOWN)).alias("status"),
        pl.when(struck).then(1.0).when(silent).then(0.0).alias("actual"),
        pl.lit(None, dtype=pl.Float64).alias("naive"),
        ((struck & exposed) | (silent & ~struck)).alias("counts"),
    ).select(*OUTCOMES)


def nothing() -> pl.DataFrame:
    """No outcomes."""
    return pl.DataFrame(schema=OUTCOMES)


def latest_instant(rows: pl.DataFrame, column: str) -> datetime | None:
    """The greatest instant of a column; None without rows."""
    found = rows.select(pl.col(column).cast(INSTANT).max()).item()
    return found if isinstance(found, datetime) else None
