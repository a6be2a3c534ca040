"""The active models' hourly predictions over their gaps, as if they had been made then."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import polars as pl

from gapfill.features.registry import LONGEST_WINDOW
from gapfill.frames import ASKS, INSTANT
from gapfill.history import History
from gapfill.predicting import GapModel, GapPredictor
from gapfill.scope import Scope

# (points, asks, on-demand prices, instance types) → one row per ask; see `features.compute`.
Compute = Callable[[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame], pl.DataFrame]

_HOUR = timedelta(hours=1)
# A live prediction that stands on the whole hour is the better one: it was made with what was known then.
_COUNTS = ("gap", "live")


class Backtest:
    """Predicts what is missing: a second run over the same hours makes nothing."""

    def __init__(self, history: History, predictor: GapPredictor, compute: Compute, pools_per_chunk: int) -> None:
        self._history = history
        self._predictor = predictor
        self._compute = compute
        self._chunk = pools_per_chunk

    def run(
        self,
        scope: Scope,
        end: datetime,
        halted: Callable[[], bool],
        progress: Callable[[int, int, dict[str, int]], None],
    ) -> None:
        """One prediction per whole UTC hour, up to `end`, for each active model and each pool with a known price.

        `progress` gets (chunks done, chunks in all, predictions stored per model since the last call).
        """
        models = self._predictor.models()
        pools = self._history.pools(scope).select("pool_id", "first_at")
        chunks = list(pools.iter_slices(self._chunk)) if models else []
        on_demand, types = self._history.on_demand(), self._history.instance_types()
        for done, chunk in enumerate(chunks, start=1):
            if halted():
                return
            progress(done, len(chunks), self._predict(chunk, models, end, on_demand, types))

    def _predict(
        self,
        pools: pl.DataFrame,
        models: Sequence[GapModel],
        end: datetime,
        on_demand: pl.DataFrame,
        types: pl.DataFrame,
    ) -> dict[str, int]:
        scope = Scope.of_pools(pools["pool_id"])
        asks = {model.model_id: self._missing(pools, scope, model, end) for model in models}
        wanted = pl.concat(asks.values()).unique().sort("pool_id", "as_of")
        first: object = wanted["as_of"].min()
        if not isinstance(first, datetime):
            return {}
        points = self._history.prices(scope, first - LONGEST_WINDOW, end)
        rows = self._compute(
            points,
            wanted.with_columns(pl.lit(None, dtype=INSTANT).alias("launched_at")).select(*ASKS),
            on_demand,
            types,
        )
        return {model_id: self._store(model_id, rows, asked) for model_id, asked in asks.items()}

    def _missing(self, pools: pl.DataFrame, scope: Scope, model: GapModel, end: datetime) -> pl.DataFrame:
        hours = whole_hours(model.knows_until, end)
        known = self._history.predictions(scope, model.knows_until, end + _HOUR, model_id=model.model_id)
        return (
            pools.join(hours, how="cross")
            .filter(pl.col("as_of") >= pl.col("first_at"))
            .join(known.filter(pl.col("origin").is_in(_COUNTS)), on=["pool_id", "as_of"], how="anti")
            .select("pool_id", "as_of")
        )

    def _store(self, model_id: str, rows: pl.DataFrame, asked: pl.DataFrame) -> int:
        mine = rows.join(asked, on=["pool_id", "as_of"], how="semi")
        if mine.is_empty():
            return 0
        try:
            made = self._predictor.predict(model_id, mine)
        except KeyError:  # swapped since: the new one's activation asks for its own
            return 0
        return self._history.append_predictions(made.filter(pl.col("value").is_finite()))


def whole_hours(start: datetime, end: datetime) -> pl.DataFrame:
    """The whole UTC hours in [start, end] as the column `as_of`."""
    first = start.replace(minute=0, second=0, microsecond=0)
    first = first if first == start else first + _HOUR
    last = end.replace(minute=0, second=0, microsecond=0)
    if first > last:
        return pl.DataFrame(schema={"as_of": INSTANT})
    return pl.DataFrame({"as_of": pl.datetime_range(first, last, "1h", time_unit="us", time_zone="UTC", eager=True)})
