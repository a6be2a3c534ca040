"""The skill of the active models over the last week: measured by the keeper, kept in the store, heeded by predict."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import structlog

from gapfill.history import History
from services.live.clusters import Clusters
from services.live.ledger.accuracy import PRICE_FIGURES, PROBABILITY_FIGURES, figures
from services.live.ledger.errors import ForecastUnskilled
from services.live.ledger.scored import scored_rows
from services.models.version import ModelVersion
from services.store.protocol import Lease, Store
from services.telemetry import Metrics

KIND = "skill"
WEEK = timedelta(days=7)
MEASURE_EVERY_S = 300.0
LOOK_EVERY_S = 5.0
COUNTS = ("known", "unknown", "awaiting")
_log = structlog.get_logger(__name__)


class SkillMeter:
    """The keeper's: every few minutes the figures of each active model, as gauges and in the store."""

    def __init__(
        self,
        history: History,
        store: Store,
        lease: Lease,
        metrics: Metrics,
        versions: Callable[[], Sequence[ModelVersion]],
        every_s: float = MEASURE_EVERY_S,
    ) -> None:
        self._history = history
        self._store = store
        self._lease = lease
        self._metrics = metrics
        self._versions = versions
        self._every_s = every_s
        self._next = 0.0
        self._measured: tuple[str, ...] = ()

    def measure(self, now: datetime) -> None:
        """Measure, where it is time to or another model is active; what was live and served is judged together."""
        versions = self._versions()
        names = tuple(version.model_id for version in versions)
        if time.monotonic() < self._next and names == self._measured:
            return
        self._next, self._measured = time.monotonic() + self._every_s, names
        confirmed = Clusters(self._store).confirmed()
        for version in versions:
            rows = scored_rows(self._history, now - WEEK, now, now, model_id=version.model_id, confirmed=confirmed)
            for origin in ("gap", "live", "served"):
                self._show(version.model_id, origin, figures(rows.filter(pl.col("origin") == origin)))
            told = figures(rows.filter(pl.col("origin") != "gap"))
            measure = "skill" if version.task == "spot_price" else "brier_skill"
            value = {
                "skill": told.get(measure),
                "skillful": told["skillful"],
                "known": told["known"],
                "status": told["status"],
                "at": now.isoformat(),
            }
            self._store.put(KIND, version.model_id, value, fence=self._lease)
            if told["skillful"] is False:
                _log.warning("forecast_without_skill", model_id=version.model_id, skill=value["skill"])

    def _show(self, model_id: str, origin: str, told: dict[str, Any]) -> None:
        for name in (*PRICE_FIGURES, *PROBABILITY_FIGURES, *COUNTS):
            value = told.get(name)
            labels = {"model_id": model_id, "origin": origin, "measure": name}
            if value is not None:
                self._metrics.accuracy.labels(**labels).set(value)
            elif name not in COUNTS:
                self._metrics.accuracy.remove_by_labels(labels)


class SkillBoard:
    """What the store says of a model's skill, remembered for some seconds; safe to read from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, tuple[float, dict[str, Any] | None]] = {}

    def of(self, model_id: str) -> dict[str, Any] | None:
        """`{skill, skillful, known, status, at}`; None for a model that was never measured."""
        seen = self._seen.get(model_id)
        if seen is None or time.monotonic() - seen[0] > LOOK_EVERY_S:
            found = self._store.get(KIND, model_id)
            seen = self._seen[model_id] = (time.monotonic(), found.value if found else None)
        return seen[1]

    def check(self, model_id: str) -> None:
        """Raises `ForecastUnskilled` for a model that was measured and is not better than the naive forecast."""
        told = self.of(model_id)
        if told is not None and told["skillful"] is False:
            raise ForecastUnskilled(model_id, float(told["skill"] or 0.0), int(told["known"]))
