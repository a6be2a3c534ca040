"""Who of the confined models has broken down how often: the rest after each time, and the end after too many."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from services.errors import ModelQuarantined, ModelResting

QUARANTINE_AFTER = 5
LONGEST_REST_S = 60.0

Kind = Literal["timed_out", "crashed", "not_loaded"]
Told = Callable[[str, Kind], None]


@dataclass(slots=True)
class _Record:
    crashes: int = 0
    rest_until: float = 0.0


class Quarantine:
    """Remembers by model_id, whatever scorer of it comes and goes. Safe to call from several threads.

    After the n-th breakdown in a row a model rests for 2^(n-1) s, at most a minute; after `after` it stays away until
    it is activated anew (`lift`).
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        after: int = QUARANTINE_AFTER,
        told: Told = lambda _model_id, _kind: None,
    ) -> None:
        """`told` hears of every breakdown."""
        self._clock = clock
        self._after = after
        self._told = told
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}

    def admit(self, model_id: str) -> None:
        """Whether a new process may be started for it: raises `ModelQuarantined` or `ModelResting`."""
        with self._lock:
            record = self._records.get(model_id, _Record())
            if record.crashes >= self._after:
                raise ModelQuarantined(model_id, record.crashes)
            rest_s = record.rest_until - self._clock()
            if rest_s > 0:
                raise ModelResting(model_id, record.crashes, round(rest_s, 3))

    def failed(self, model_id: str, kind: Kind) -> None:
        """It broke down."""
        with self._lock:
            record = self._records.setdefault(model_id, _Record())
            record.crashes += 1
            record.rest_until = self._clock() + min(2.0 ** (record.crashes - 1), LONGEST_REST_S)
        self._told(model_id, kind)

    def answered(self, model_id: str) -> None:
        """It gave scores: what was before is forgiven."""
        with self._lock:
            self._records.pop(model_id, None)

    def lift(self, model_id: str) -> None:
        """Give it another try: it is being activated, or its name is free again."""
        self.answered(model_id)

    def states(self) -> dict[str, str]:
        """model_id → what is known against it; those that work are absent."""
        now = self._clock()
        with self._lock:
            return {model_id: self._state(record, now) for model_id, record in self._records.items()}

    def _state(self, record: _Record, now: float) -> str:
        if record.crashes >= self._after:
            return f"in quarantine after {record.crashes} breakdowns"
        return f"broke down {record.crashes} times, rests {max(0.0, record.rest_until - now):.1f} s"
