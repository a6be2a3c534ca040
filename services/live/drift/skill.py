"""Whether a price model still tells more than the last price does, held against the first week of its gap."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
import polars as pl

from gapfill.history import History
from gapfill.scope import Scope
from services.live.drift.reference import WEEK
from services.live.drift.window import sampled
from services.live.past import OBSERVED, predictions_with_actuals
from services.models.version import ModelVersion

FALL = 0.2
LEAST_PREDICTIONS = 100
MOST_PREDICTIONS = 20_000
MOST_POOLS = 200
LEAST_STRETCH = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class SkillFall:
    """A skill that fell: what of, from where to where (1: perfect, 0: no better than the naive), over how many."""

    measure: str
    before: float
    now: float
    predictions: int


class Skills(Protocol):
    """Where a fall of skill is learnt of."""

    def fall(
        self, version: ModelVersion, pool_ids: tuple[str, ...], now: datetime, window: timedelta
    ) -> SkillFall | None:
        """The fall in what has become due of late, None where there is none or too little is due."""
        ...


class PriceSkill:
    """`Skills` of price models: 1 - MAE / MAE of the last value, within -1..1, of predictions whose price is known."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._before: dict[str, float] = {}

    def fall(
        self, version: ModelVersion, pool_ids: tuple[str, ...], now: datetime, window: timedelta
    ) -> SkillFall | None:
        """See `Skills`."""
        if version.task != "spot_price":
            return None
        scope = Scope.of_pools([pool_ids[place] for place in sampled(pool_ids, MOST_POOLS)])
        if version.model_id not in self._before:
            start = version.knows_until
            found = self._skill(version, scope, start, min(start + WEEK, now), now, "gap")
            if found is None:
                return None
            self._before[version.model_id] = found[0]
        before = self._before[version.model_id]
        end = now - timedelta(hours=version.horizon_hours)
        late = self._skill(version, scope, end - max(window, LEAST_STRETCH), end, now, None)
        if late is None or before - late[0] < FALL:
            return None
        return SkillFall("skill over the last price", before, *late)

    def _skill(
        self, version: ModelVersion, scope: Scope, start: datetime, end: datetime, now: datetime, origin: str | None
    ) -> tuple[float, int] | None:
        rows = predictions_with_actuals(
            self._history, scope, start, end, now, model_id=version.model_id, origin=origin, limit=MOST_PREDICTIONS
        )
        return skill(rows)


def skill(rows: pl.DataFrame) -> tuple[float, int] | None:
    """(skill, predictions) of `predictions_with_actuals`'s rows; None for too few, or where no price ever moved."""
    known = rows.filter(pl.col("actual_status") == OBSERVED).drop_nulls(["value", "price", "actual"])
    actual = known["actual"].to_numpy()
    if len(actual) < LEAST_PREDICTIONS:
        return None
    naive = float(np.abs(known["price"].to_numpy() - actual).mean())
    if naive == 0.0:
        return None
    return max(-1.0, 1.0 - float(np.abs(known["value"].to_numpy() - actual).mean()) / naive), len(actual)
