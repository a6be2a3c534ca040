"""The spool, at the side that answers: notes in memory, written each second as a segment that the live loop takes up.

A segment is an Arrow file that appears by one rename in `<data directory>/spool`, on a cluster the shared volume on
which the store of models lies too. An answer does not wait for it: a process that is killed loses at most what it
noted in its last second, and leaves the marker by which the loop counts that it was.
"""

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import structlog
from numpy.typing import NDArray
from ulid import ULID

from gapfill.frames import INSTANT, SERVED
from services.models.predictor import Scored
from services.models.version import ModelVersion

FLUSH_EVERY_S = 0.8
STOP_PATIENCE_S = 5.0
# Notes that one segment takes; what comes beyond them within a second is counted as dropped.
MOST_NOTES = 100_000
SUFFIX = ".arrow"
MARKER = ".open"
# A segment's rows: `block` tells the rows of one tick's data from those of another's.
SEGMENT = pl.Schema({**{name: kind for name, kind in SERVED.items() if name != "batch"}, "block": INSTANT})
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Note:
    """One answer: n predictions of one model.

    `pool_ids` and `scored` have n rows. `start` is when the horizon begins: the instant of the answer, or a planned
    launch after it. `block_as_of` is the instant of the data behind it. `what_if` bool[n] marks rows whose price the
    request made up (None: no row). `origin` is `served`, or `live` for a tick's rows in an experiment.
    """

    version: ModelVersion
    pool_ids: Sequence[str]
    scored: Scored
    start: datetime
    made_at: datetime
    block_as_of: datetime
    what_if: NDArray[np.bool_] | None = None
    experiment: str = ""
    arm: str = ""
    origin: str = "served"

    @property
    def sameness(self) -> tuple[object, ...]:
        """Notes that agree in this are one row with a count."""
        planned = self.start if self.start > self.made_at else None
        flags = b"" if self.what_if is None else self.what_if.tobytes()
        of_whom = (self.version.model_id, self.experiment, self.arm, self.origin)
        return (*of_whom, self.block_as_of, planned, tuple(self.pool_ids), self.scored.values.tobytes(), flags)

    def notes(self) -> Sequence["Note"]:
        """Itself."""
        return (self,)


class Noted(Protocol):
    """What is on its way: worked out only once a second, on the spool's own thread."""

    @property
    def sameness(self) -> tuple[object, ...]:
        """Hashable; what agrees in this has the same notes."""
        ...

    def notes(self) -> Sequence[Note]:
        """The notes it stands for."""
        ...


# Called with the number of notes that were written or dropped, and which of the two it was: written, dropped.
Counted = Callable[[int, str], None]


def _uncounted(_number: int, _result: str) -> None:
    return None


class Spool:
    """`note` costs about a microsecond and never waits; a thread writes. Safe to call from any thread."""

    def __init__(self, folder: Path, counted: Counted = _uncounted, every_s: float = FLUSH_EVERY_S) -> None:
        """Nothing is written before the first note; then at every `every_s`."""
        self.folder = folder
        self._counted = counted
        self._every_s = every_s
        self._process = str(ULID())
        self._notes: deque[Noted] = deque()
        self._dropped = 0
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def note(self, note: Noted) -> None:
        """Remember an answer."""
        if len(self._notes) >= MOST_NOTES:
            self._dropped += 1
            return
        self._notes.append(note)
        if self._thread is None:
            self._start()

    def flush(self) -> int:
        """Write what is noted as one segment; how many rows it has."""
        notes = [self._notes.popleft() for _ in range(len(self._notes))]
        dropped, self._dropped = self._dropped, 0
        if dropped:
            self._counted(dropped, "dropped")
            _log.warning("served_predictions_not_kept", answers=dropped)
        if not notes:
            return 0
        rows = _rows(notes)
        self.folder.mkdir(parents=True, exist_ok=True)
        name = str(ULID())
        draft = self.folder / f"{name}.draft"
        rows.write_ipc(draft)
        draft.rename(self.folder / f"{name}{SUFFIX}")
        self._counted(len(notes), "written")
        return rows.height

    def close(self) -> None:
        """Write what is left, and leave in order."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_PATIENCE_S)
        self._flush_safely()
        self._marker.unlink(missing_ok=True)

    @property
    def _marker(self) -> Path:
        return self.folder / f"{self._process}{MARKER}"

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._flush_safely()

    def _flush_safely(self) -> None:
        waiting = len(self._notes)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._marker.write_text(f"{os.uname().nodename} {os.getpid()}")
            self.flush()
        except Exception as error:  # noqa: BLE001 - a segment that cannot be written must not end the ones after it
            self._counted(waiting, "dropped")
            _log.warning("spool_not_written", error=f"{type(error).__name__}: {error}", answers=waiting)


def _rows(noted: Sequence[Noted]) -> pl.DataFrame:
    """`SEGMENT` rows: identical answers once, with their number."""
    counts: Counter[tuple[object, ...]] = Counter()
    first: dict[tuple[object, ...], Noted] = {}
    for one in noted:
        key = one.sameness
        counts[key] += 1
        first.setdefault(key, one)
    frames = [_frame(note, counts[key]) for key, one in first.items() for note in one.notes()]
    return pl.concat(frames) if frames else pl.DataFrame(schema=SEGMENT)


def _frame(note: Note, count: int) -> pl.DataFrame:
    version, scored = note.version, note.scored
    size = len(note.pool_ids)
    start = note.start.astimezone(UTC)  # a planned launch stands in the zone that its asker wrote
    frame = pl.DataFrame(
        {
            "model_id": version.model_id,
            "task": version.task,
            "pool_id": list(note.pool_ids),
            "as_of": start,
            "target_at": start + timedelta(hours=version.horizon_hours),
            "made_at": note.made_at,
            "origin": note.origin,
            "value": scored.values,
            "confidence": scored.confidence.total,
            "imputed": [scored.imputed_names(row, version.features) for row in range(size)],
            "experiment": note.experiment,
            "arm": note.arm,
            "count": count,
            "what_if": np.zeros(size, dtype=np.bool_) if note.what_if is None else note.what_if,
            "block": start if start > note.made_at else note.block_as_of,
        },
        schema=SEGMENT,
    )
    return frame.filter(pl.col("value").is_finite())
