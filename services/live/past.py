"""Past predictions beside what then happened; what is not known yet, or cannot be known, is said."""

from datetime import datetime

import polars as pl

from gapfill.frames import INSTANT, PREDICTIONS
from gapfill.history import History
from gapfill.scope import Scope

OBSERVED = "observed"
AWAITING = "awaiting_actuals"
UNKNOWN = "unknown"


def predictions_with_actuals(
    history: History,
    scope: Scope,
    start: datetime,
    end: datetime,
    now: datetime,
    *,
    model_id: str | None = None,
    origin: str | None = None,
    limit: int,
) -> pl.DataFrame:
    """The newest `limit` predictions with `as_of` in [start, end), oldest first.

    Columns of `frames.PREDICTIONS`, and `price` (USD per hour that held at `as_of`), `actual` (what `value` should have
    been) with `actual_status`: a price is observed once `target_at` has passed; an interruption's outcome is unknown
    as long as nobody reports one.
    """
    told = history.predictions(scope, start, end, model_id=model_id, origin=origin)
    told = told.sort("as_of", "pool_id", "model_id").tail(limit)
    if told.is_empty():
        return _empty()
    first = told["as_of"].min()
    assert isinstance(first, datetime)
    points = in_usd(history.prices(Scope.of_pools(told["pool_id"].unique().to_list()), start=first, end=None))
    with_now = _at(told, points, "as_of", "price")
    with_then = _at(with_now, points, "target_at", "then")
    due = pl.col("target_at") <= now
    priced = pl.col("task") == "spot_price"
    return with_then.with_columns(
        pl.when(priced & due).then(pl.col("then")).alias("actual"),
        pl.when(~due)
        .then(pl.lit(AWAITING))
        .when(priced & pl.col("then").is_not_null())
        .then(pl.lit(OBSERVED))
        .otherwise(pl.lit(UNKNOWN))
        .alias("actual_status"),
    ).drop("then")


def in_usd(prices: pl.DataFrame) -> pl.DataFrame:
    """`frames.PRICES` as `pool_id`, `at` and `usd`: 37900 micro-USD are 0.0379, to the last bit."""
    # Not by Polars, which multiplies by the reciprocal of a constant.
    usd = pl.Series("usd", prices["price_micro_usd"].to_numpy() / 1e6)
    return prices.select("pool_id", pl.col("at").cast(INSTANT)).with_columns(usd)


def _at(rows: pl.DataFrame, points: pl.DataFrame, when: str, name: str) -> pl.DataFrame:
    """The rows with the price that held in their pool at `when`."""
    return (
        rows.sort(when)
        .join_asof(points.sort("at"), left_on=when, right_on="at", by="pool_id", check_sortedness=False)
        .rename({"usd": name})
        .drop("at", strict=False)
        .sort("as_of", "pool_id", "model_id")
    )


def _empty() -> pl.DataFrame:
    extra = {"price": pl.Float64(), "actual": pl.Float64(), "actual_status": pl.String()}
    return pl.DataFrame(schema={**PREDICTIONS, **extra})
