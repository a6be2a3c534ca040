"""Live predictions on their way to the history: written in batches, where they say something new."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from gapfill.frames import PREDICTIONS
from gapfill.history import History
from services.live.board import FeatureBlock
from services.live.facts import TaskScores
from services.models.scorer import Vector


class LivePredictions:
    """Collects what the loop predicts and appends it to the history.

    A pool's prediction is kept when its value differs from the one kept before it, and at the first tick of every hour:
    between two rows the earlier one holds, as with prices. One thread's at a time.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._waiting: list[pl.DataFrame] = []
        self._last: dict[str, tuple[datetime, tuple[str, ...], Vector]] = {}

    def add(self, block: FeatureBlock, scores: TaskScores, made_at: datetime) -> None:
        """Take in one model's predictions of a tick."""
        values = scores.scored.values
        keep = ~np.isnan(values) & self._is_news(block, scores.version.model_id, values)
        if not keep.any():
            return
        version = scores.version
        places = np.flatnonzero(keep)
        self._waiting.append(
            pl.DataFrame(
                {
                    "model_id": version.model_id,
                    "task": version.task,
                    "pool_id": [block.pool_ids[place] for place in places],
                    "as_of": block.as_of,
                    "target_at": block.as_of + timedelta(hours=version.horizon_hours),
                    "made_at": made_at,
                    "origin": "live",
                    "value": values[places],
                    "confidence": scores.scored.confidence.total[places],
                    "imputed": [scores.scored.imputed_names(int(place), version.features) for place in places],
                },
                schema=PREDICTIONS,
            )
        )

    def write(self) -> int:
        """Append what was collected; how many rows were new. What cannot be written now is kept."""
        if not self._waiting:
            return 0
        written = self._history.append_predictions(pl.concat(self._waiting))
        self._waiting.clear()
        return written

    def _is_news(
        self, block: FeatureBlock, model_id: str, values: Vector
    ) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        hour = block.as_of.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        last = self._last.get(model_id)
        self._last[model_id] = (hour, block.pool_ids, values)
        if last is None or last[0] != hour or last[1] != block.pool_ids:
            return np.ones(len(values), dtype=np.bool_)
        return np.asarray(last[2] != values, dtype=np.bool_)
