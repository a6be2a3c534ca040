"""The shadow: what was served is scored by the challengers as well, in the background; what is too much is dropped."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import structlog

from services.live.experiments.answering import Part, Rows
from services.live.experiments.counts import Tally
from services.live.experiments.trial import Trial
from services.models.predictor import Scored, predict

MOST_WAITING = 10_000
STOP_PATIENCE_S = 5.0
_log = structlog.get_logger(__name__)


def nobody(_part: Part) -> None:
    """Is told nothing."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Rows that were answered, for the shadow to score too."""

    trial: Trial
    pool_ids: tuple[str, ...]
    rows: Rows
    told: Callable[[Part], None] = nobody  # what a challenger said goes there, on the shadow's thread; may raise
    timed: bool = True  # one request by itself, so that its time can be held beside the control's


class Shadow:
    """One thread, begun with the first row; `show` never waits."""

    def __init__(self, tally: Tally, most_waiting: int = MOST_WAITING) -> None:
        self._tally = tally
        self._most = most_waiting
        self._waiting: deque[Shown] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    def show(self, shown: Shown) -> bool:
        """Have rows scored some time soon; False, and counted as dropped, when too many wait already."""
        with self._changed:
            full = len(self._waiting) >= self._most or self._stopping
            if not full:
                self._waiting.append(shown)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
                    self._thread.start()
                if not self._busy:  # else it looks here again by itself
                    self._changed.notify_all()
        if full:
            for arm in shown.trial.challengers:
                self._tally.add(shown.trial.experiment_id, arm.arm, dropped=len(shown.pool_ids))
        return not full

    def settle(self, timeout_s: float) -> bool:
        """Wait until everything shown so far is scored; False after the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout_s)

    def close(self) -> None:
        """End; what waits is dropped."""
        with self._changed:
            self._stopping = True
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(STOP_PATIENCE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    return
                shown = self._waiting.popleft()
                self._busy = True
            self._score(shown)

    def _score(self, shown: Shown) -> None:
        trial = shown.trial
        for arm in trial.challengers:
            loan = trial.lend(arm)
            if loan is None:
                self._tally.add(trial.experiment_id, arm.arm, dropped=len(shown.pool_ids))
                continue
            with loan as lent:
                began = time.perf_counter()
                try:
                    scored: Scored = predict(lent.scorer, lent.version, *shown.rows)
                except Exception as error:  # noqa: BLE001 - nobody was to be told: it is counted
                    self._tally.add(trial.experiment_id, arm.arm, calls=1, errors=1, error=repr(error))
                    continue
                took = time.perf_counter() - began if shown.timed else None
                self._tally.add(trial.experiment_id, arm.arm, calls=1, shadow=len(shown.pool_ids), seconds=took)
                places = np.arange(len(shown.pool_ids))
                part = Part(lent, scored, places, trial.experiment_id, arm.arm)
                try:
                    shown.told(part)
                except Exception:  # noqa: BLE001 - the next row must be scored all the same
                    _log.exception("shadow_not_recorded", experiment_id=trial.experiment_id)
