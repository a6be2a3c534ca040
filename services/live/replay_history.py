"""The server's own past as a replay sees it: its price history, with what its models predicted at the time."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from engines.replay.advisor import Advisor
from engines.replay.errors import WindowEmpty
from engines.replay.world import Floats, World
from gapfill.history import History
from gapfill.pools import LINUX
from gapfill.scope import Scope
from services.live.replaying import price_world

_TASK = "spot_interruption"
_CERTAIN = 1 - 1e-6


def history_world(
    history: History,
    scope: Scope,
    start: datetime,
    end: datetime,
    *,
    product: str = LINUX,
    as_ingested: bool = False,
    advisor: Advisor | None = None,
) -> World:
    """Return the past of `scope` over [start, end).

    With `as_ingested` a price counts from when it was stored, not from when it held. Predictions are those of origin
    gap or live of the interruption model that made most of them, each holding until its next one; where there are
    none, the advisor's. Interruptions are counted by the same rates. Raises WindowEmpty.
    """
    points = history.prices(scope, start, end, stamped=as_ingested)
    if as_ingested:
        points = _known_when_stored(points)
    world = price_world(
        history.market_id,
        points,
        history.on_demand(),
        history.instance_types(),
        advisor,
        start=start,
        end=end,
        product=product,
    )
    told = history.predictions(scope, start - timedelta(days=1), end).filter(
        pl.col("task") == _TASK, pl.col("origin").is_in(["gap", "live"])
    )
    if told.is_empty():
        if advisor is None:
            raise WindowEmpty("nobody predicted interruptions in the window, and no advisor's feed is at hand")
        return replace(world, market_id=history.market_id)
    return _predicted(replace(world, market_id=history.market_id), told)


def _known_when_stored(points: pl.DataFrame) -> pl.DataFrame:
    """The points with `at` moved to when each was known; one that was overtaken before it was known is left out."""
    known = points.with_columns(pl.max_horizontal("at", "ingested_at").alias("known")).sort("pool_id", "known", "at")
    newest = known.filter(pl.col("at") >= pl.col("at").cum_max().over("pool_id"))
    return newest.with_columns(pl.col("known").alias("at")).drop("known", "ingested_at")


def _predicted(world: World, told: pl.DataFrame) -> World:
    model_id = str(told["model_id"].value_counts(sort=True)["model_id"][0])
    mine = told.filter(pl.col("model_id") == model_id).sort("pool_id", "as_of")
    horizon = float((mine["target_at"] - mine["as_of"]).dt.total_seconds().median() or 3600.0) / 3600  # type: ignore[arg-type]
    grid = np.array([world.at(tick).timestamp() for tick in range(world.ticks)])
    by_pool = {str(name): rows for (name,), rows in mine.group_by("pool_id")}
    probability, confidence = (np.full(world.price.shape, np.nan) for _ in range(2))
    for i, place in enumerate(world.places):
        if (rows := by_pool.get(place.pool_id)) is not None:
            rows = rows.sort("as_of")
            probability[:, i] = _held(rows, "value", grid)
            confidence[:, i] = _held(rows, "confidence", grid)
    probability = np.clip(probability, 0.0, 1.0)
    rates = -np.log1p(-np.minimum(probability, _CERTAIN)) / horizon
    origins = " and ".join(sorted(mine["origin"].unique().to_list()))
    return replace(
        world,
        probability=probability,
        confidence=np.clip(confidence, 0.0, 1.0),
        hazard=_mean(rates),
        horizon_hours=horizon,
        predicted_by=f"{model_id}, origin {origins}",
    )


def _held(rows: pl.DataFrame, name: str, grid: Floats) -> Floats:
    """The last value at or before each instant; NaN before the first."""
    at = np.searchsorted(rows["as_of"].dt.timestamp("us").to_numpy() / 1e6, grid, side="right") - 1
    values = rows[name].cast(pl.Float64).to_numpy()
    return np.where(at >= 0, values[np.maximum(at, 0)], np.nan)


def _mean(rates: Floats) -> Floats:
    """The mean rate of each pool over the instants at which it was predicted; 0 where it never was."""
    known = ~np.isnan(rates)
    means: Floats = np.nansum(rates, axis=0) / np.maximum(1, known.sum(axis=0))
    return means
