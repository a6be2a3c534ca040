"""Past predictions beside what then happened; what is not known yet, or cannot be known, is said."""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from gapfill.frames import INSTANT, PREDICTIONS
from gapfill.history import History
from gapfill.scope import Scope
from services.live.ledger.scored import looked_up
from services.live.ledger.settling import AWAITING, KEY, OBSERVED, UNKNOWN

__all__ = ["AWAITING", "OBSERVED", "UNKNOWN", "in_usd", "predictions_with_actuals"]


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
    confirmed: Mapping[str, datetime] | None = None,
) -> pl.DataFrame:
    """The newest `limit` predictions with `as_of` in [start, end), oldest first.

    Columns of `frames.PREDICTIONS`, and `price` (USD per hour that held at `as_of`), `actual` (what `value` should have
    been) with `actual_status`: a price is observed once `target_at` has passed, an interruption or none once it is
    known who held the pool (`ledger.settling`); `confirmed` says when each cluster was last put.
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
    struck = told.filter(~priced & due).select(KEY).unique()
    found = looked_up(history, struck, now, confirmed or {}).select(*KEY, "actual")
    known = with_then.join(found, on=KEY, how="left", maintain_order="left")
    actual = pl.when(due).then(pl.when(priced).then(pl.col("then")).otherwise(pl.col("actual")))
    return (
        known.with_columns(actual.alias("actual"))
        .with_columns(
            pl.when(~due)
            .then(pl.lit(AWAITING))
            .when(pl.col("actual").is_not_null())
            .then(pl.lit(OBSERVED))
            .otherwise(pl.lit(UNKNOWN))
            .alias("actual_status"),
        )
        .drop("then")
    )


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
