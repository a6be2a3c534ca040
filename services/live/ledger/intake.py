"""The spool, at the side that keeps: segments become rows of the history, each once, whatever is killed when."""

import json
import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import psutil
import structlog
from polars.exceptions import PolarsError
from ulid import ULID

from gapfill.frames import SERVED
from gapfill.ledger_tables import LedgerTables
from services.live.ledger.spool import MARKER, SEGMENT, SUFFIX

MOST_SEGMENTS = 500
# A process on another host has died when its marker, written anew each second, is so old.
SILENT_S = 60.0
_MANIFEST = ".batch"
_SPOILT = ".spoilt"
_SAME = ["model_id", "origin", "experiment", "arm", "pool_id", "value", "what_if", "block"]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one look at the spool brought: rows stored, segments taken, and processes that ended without closing.

    `first_target` is the earliest `target_at` of the rows stored.
    """

    rows: int = 0
    segments: int = 0
    killed: int = 0
    first_target: datetime | None = None


class SpoolIntake:
    """The live loop's. Segments go by batches: a batch is named in a file before it is appended, and its rows carry its
    name, so that one begun before a crash is ended after it, and one that was appended is not appended again.
    """

    def __init__(self, folder: Path, tables: LedgerTables) -> None:
        self._folder = folder
        self._tables = tables
        self._first_target: datetime | None = None

    def take(self) -> Taken:
        """Take up what lies there, at most `MOST_SEGMENTS`; raises `StaleWriter` and what the tables raise."""
        if not self._folder.is_dir():
            return Taken()
        segments = 0
        self._first_target = None
        rows = sum(self._end(manifest) for manifest in sorted(self._folder.glob(f"*{_MANIFEST}")))
        names = sorted(path.name for path in self._folder.glob(f"*{SUFFIX}"))[:MOST_SEGMENTS]
        if names:
            segments = len(names)
            rows += self._end(self._begin(names))
        return Taken(rows, segments, self._killed(), self._first_target)

    def _begin(self, names: list[str]) -> Path:
        draft = self._folder / f"{ULID()}.draft"
        draft.write_text(json.dumps(names))
        return draft.rename(draft.with_suffix(_MANIFEST))

    def _end(self, manifest: Path) -> int:
        paths = [self._folder / name for name in json.loads(manifest.read_text())]
        frames = [frame for path in paths if (frame := self._read(path)) is not None]
        stored = self._store(_merged(frames, manifest.stem)) if frames else 0
        for path in paths:
            path.unlink(missing_ok=True)
        manifest.unlink()
        return stored

    def _store(self, rows: pl.DataFrame) -> int:
        first = rows["target_at"].min()
        if isinstance(first, datetime):
            self._first_target = min(first, self._first_target or first)
        return self._tables.append_served(rows)

    def _read(self, path: Path) -> pl.DataFrame | None:
        """None for a segment that is gone: its batch was appended. One that cannot be read is put aside."""
        try:
            return pl.read_ipc(path).select(*SEGMENT).cast(SEGMENT)
        except FileNotFoundError:
            return None
        except (PolarsError, OSError) as error:
            _log.warning("segment_not_readable", segment=path.name, error=str(error)[:400])
            path.rename(path.with_suffix(_SPOILT))
            return None

    def _killed(self) -> int:
        for draft in self._folder.glob("*.draft"):
            if _age_s(draft) > 10 * SILENT_S:
                draft.unlink(missing_ok=True)
        dead = [marker for marker in self._folder.glob(f"*{MARKER}") if _has_died(marker)]
        for marker in dead:
            _log.warning("served_predictions_lost", process=marker.stem, detail="killed: at most its last second")
            marker.unlink(missing_ok=True)
        return len(dead)


def _merged(frames: list[pl.DataFrame], batch: str) -> pl.DataFrame:
    first = [name for name in SEGMENT if name not in (*_SAME, "count")]
    rows = pl.concat(frames).sort("made_at")
    merged = rows.group_by(_SAME, maintain_order=True).agg(pl.col(first).first(), pl.col("count").sum())
    return merged.with_columns(pl.lit(batch).alias("batch")).select(*SERVED)


def _has_died(marker: Path) -> bool:
    try:
        host, pid = marker.read_text().split()
        if host == os.uname().nodename:
            return not psutil.pid_exists(int(pid))
    except (OSError, ValueError):
        return False
    return _age_s(marker) > SILENT_S


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
