"""Experiments as the live loop meets them: followed at each tick, its rows counted by arm, and shown to the shadow."""

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

import structlog

from services.errors import StoreUnavailable
from services.live.board import FeatureBlock
from services.live.experiments.answering import Part
from services.live.experiments.arms import Arms
from services.live.experiments.shadow import Shadow, Shown
from services.live.facts import TaskScores
from services.live.written import LivePredictions
from services.models.version import Task

# A tick that the shadow is still at when the next one comes is enough to wait for.
MOST_TICKS_WAITING = 2
_log = structlog.get_logger(__name__)


class TickArms:
    """The loop's own; one thread's at a time."""

    def __init__(self, arms: Arms) -> None:
        self.arms = arms
        self._scored: deque[tuple[FeatureBlock, Part, datetime]] = deque()
        self._shadow = Shadow(arms.tally, MOST_TICKS_WAITING)

    def follow(self) -> None:
        """Take up what has changed in the store; what cannot be read now is read at the next tick."""
        try:
            self.arms.follow()
        except StoreUnavailable as error:
            _log.warning("experiments_not_followed", detail=error.detail)

    def ticked(self, block: FeatureBlock, scores: Mapping[Task, TaskScores], predictions: LivePredictions) -> None:
        """After a tick was told: count it, show it to the shadow, and keep what the shadow has said of earlier ones."""
        while self._scored:
            shown, part, made_at = self._scored.popleft()
            predictions.take(shown, part.lent.version, part.scored, made_at, part.experiment_id, part.arm)
        for told in scores.values():
            if told.arms is None:
                continue
            trial = told.arms.trial
            for part in told.arms.parts:
                rows = len(part.places)
                mine, others = (0, rows) if part.fell_back else (rows, 0)
                self.arms.tally.add(part.experiment_id, part.arm, ticked=mine, fell_back=others)
            if trial.in_shadow:
                rows_shown = (block.names, block.matrix, block.imputed, block.silence_h())
                told_part = partial(self._collect, block)
                self._shadow.show(Shown(trial, block.pool_ids, rows_shown, told_part, timed=False))

    def close(self) -> None:
        """Let all go."""
        self._shadow.close()
        self.arms.close()

    def settle(self, timeout_s: float) -> bool:
        """Wait until the shadow has scored every tick shown so far; False after the timeout."""
        return self._shadow.settle(timeout_s)

    def _collect(self, block: FeatureBlock, part: Part) -> None:
        self._scored.append((block, part, datetime.now(UTC)))
