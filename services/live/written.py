"""Live predictions on their way to the history: written in batches, where they say something new."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from gapfill.frames import PREDICTIONS, SERVED
from gapfill.history import History
from services.live.board import FeatureBlock
from services.live.facts import TaskScores
from services.models.predictor import Scored
from services.models.scorer import Vector
from services.models.version import ModelVersion


class LivePredictions:
    """Collects what the loop predicts and appends it to the history.

    A pool's prediction is kept when its value differs from the one kept before it, and at the first tick of every hour:
    between two rows the earlier one holds, as with prices. One thread's at a time.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._waiting: list[pl.DataFrame] = []
        self._of_experiments: list[pl.DataFrame] = []
        self._last: dict[tuple[str, str, str], tuple[datetime, tuple[str, ...], Vector]] = {}

    def add(self, block: FeatureBlock, scores: TaskScores, made_at: datetime) -> None:
        """Take in one task's predictions of a tick: the active model's, or in an experiment every arm's."""
        if scores.arms is None:
            self.take(block, scores.version, scores.scored, made_at)
            return
        for arm, version, scored in scores.arms.by_arm():
            self.take(block, version, scored, made_at, scores.arms.experiment_id, arm)

    def take(
        self,
        block: FeatureBlock,
        version: ModelVersion,
        scored: Scored,
        made_at: datetime,
        experiment: str = "",
        arm: str = "",
    ) -> None:
        """Take in one model's predictions of a tick, in an arm of an experiment or outside (""); NaN says nothing."""
        values = scored.values
        keep = ~np.isnan(values) & self._is_news(block, (version.model_id, experiment, arm), values)
        if not keep.any():
            return
        places = np.flatnonzero(keep)
        rows = pl.DataFrame(
            {
                "model_id": version.model_id,
                "task": version.task,
                "pool_id": [block.pool_ids[place] for place in places],
                "as_of": block.as_of,
                "target_at": block.as_of + timedelta(hours=version.horizon_hours),
                "made_at": made_at,
                "origin": "live",
                "value": values[places],
                "confidence": scored.confidence.total[places],
                "imputed": [scored.imputed_names(int(place), version.features) for place in places],
            },
            schema=PREDICTIONS,
        )
        if not experiment:
            self._waiting.append(rows)
            return
        marks = {
            "experiment": pl.lit(experiment),
            "arm": pl.lit(arm),
            "count": pl.lit(1, pl.Int64),
            "what_if": pl.lit(value=False),
            "batch": pl.lit(""),
        }
        self._of_experiments.append(rows.with_columns(**marks).select(*SERVED))

    def write(self) -> int:
        """Append what was collected; how many rows were new. What cannot be written now is kept."""
        written = 0
        if self._waiting:
            written += self._history.append_predictions(pl.concat(self._waiting))
            self._waiting.clear()
        if self._of_experiments:
            written += self._history.ledger.append_made(pl.concat(self._of_experiments))
            self._of_experiments.clear()
        return written

    def _is_news(
        self, block: FeatureBlock, whose: tuple[str, str, str], values: Vector
    ) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        hour = block.as_of.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        last = self._last.get(whose)
        self._last[whose] = (hour, block.pool_ids, values)
        if last is None or last[0] != hour or last[1] != block.pool_ids:
            return np.ones(len(values), dtype=np.bool_)
        return np.asarray(last[2] != values, dtype=np.bool_)
