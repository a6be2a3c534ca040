"""The store in one SQLite file: the default, for any number of threads and processes of one machine.

Write-ahead logging lets readers and the one writer at a time pass each other. Commits are synchronous (FULL), so that a
power cut takes back no sequence number that a client has seen.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from services.errors import LeaseLost, RevisionConflict, StoreUnavailable
from services.store.encoding import decode_value, encode_value, from_micros, prefix_end, to_micros
from services.store.protocol import Document, Entry, Lease
from services.store.sqlite_file import SqliteFile

T = TypeVar("T")

POLL_S = 0.010  # PRAGMA data_version at this pace costs 3 % of a core and delivers in 7 ms


class SqliteStore:
    """`services.store.protocol.Store` over the file `path`; picklable, a copy opens the file anew.

    Raises `StoreTooNew` when a newer release wrote the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file = SqliteFile(self.path)

    def __reduce__(self) -> tuple[type["SqliteStore"], tuple[Path]]:
        return (SqliteStore, (self.path,))

    # Documents

    def get(self, kind: str, key: str) -> Document | None:
        row = self._row("SELECT value, revision FROM documents WHERE kind = ? AND key = ?", (kind, key))
        return None if row is None else Document(kind, key, decode_value(row[0]), row[1])

    def find(self, kind: str, *, prefix: str = "", limit: int = 1000, newest_first: bool = False) -> list[Document]:
        order = "DESC" if newest_first else "ASC"
        rows = self._rows(
            "SELECT key, value, revision FROM documents WHERE kind = ? AND key >= ? AND key < ?"
            f" ORDER BY key {order} LIMIT ?",
            (kind, prefix, prefix_end(prefix), limit),
        )
        return [Document(kind, key, decode_value(value), revision) for key, value, revision in rows]

    def put(
        self,
        kind: str,
        key: str,
        value: Mapping[str, Any],
        *,
        expected: int | None = None,
        fence: Lease | None = None,
    ) -> int:
        encoded = encode_value(value)

        def write(db: sqlite3.Connection) -> int:
            revision = _checked_revision(db, kind, key, expected) + 1
            db.execute(
                "INSERT INTO documents (kind, key, value, revision) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, revision = excluded.revision",
                (kind, key, encoded, revision),
            )
            return revision

        return self._write(write, fence)

    def delete(self, kind: str, key: str, *, expected: int | None = None, fence: Lease | None = None) -> bool:
        def write(db: sqlite3.Connection) -> bool:
            _checked_revision(db, kind, key, expected)
            return db.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key)).rowcount > 0

        return self._write(write, fence)

    def next_number(self, name: str) -> int:
        return self._write(lambda db: _count_up(db, "numbers", name))

    # Logs

    def append(self, log: str, kind: str, at: datetime, body: bytes, *, fence: Lease | None = None) -> Entry:
        micros = to_micros(at)

        def write(db: sqlite3.Connection) -> int:
            seq = _count_up(db, "log_heads", log)
            db.execute(
                "INSERT INTO entries (log, seq, kind, at, body) VALUES (?, ?, ?, ?, ?)", (log, seq, kind, micros, body)
            )
            return seq

        return Entry(self._write(write, fence), kind, from_micros(micros), bytes(body))

    def read(self, log: str, *, after: int = 0, kinds: Sequence[str] = (), limit: int = 1000) -> list[Entry]:
        only = f" AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        rows = self._rows(
            f"SELECT seq, kind, at, body FROM entries WHERE log = ? AND seq > ?{only} ORDER BY seq LIMIT ?",
            (log, after, *kinds, limit),
        )
        return [_entry(row) for row in rows]

    def latest(self, log: str, kind: str) -> Entry | None:
        row = self._row(
            "SELECT seq, kind, at, body FROM entries WHERE log = ? AND kind = ? ORDER BY seq DESC LIMIT 1", (log, kind)
        )
        return None if row is None else _entry(row)

    def span(self, log: str) -> tuple[int, int]:
        row = self._row(
            "SELECT (SELECT min(seq) FROM entries WHERE log = h.log), h.value FROM log_heads h WHERE log = ?", (log,)
        )
        if row is None:
            return (1, 0)
        oldest, newest = row
        return (newest + 1 if oldest is None else oldest, newest)

    def trim(self, log: str, keep: int) -> int:
        def write(db: sqlite3.Connection) -> int:
            head = db.execute("SELECT value FROM log_heads WHERE log = ?", (log,)).fetchone()
            last = (head[0] if head else 0) - keep
            return db.execute("DELETE FROM entries WHERE log = ? AND seq <= ?", (log, last)).rowcount

        return self._write(write)

    def wait(self, log: str, after: int, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s

        def poll(db: sqlite3.Connection) -> bool:
            seen: int | None = None
            while True:
                # Read before the look-up, so that a commit between the two is not slept through.
                version: int = db.execute("PRAGMA data_version").fetchone()[0]
                if version != seen and _has_entry(db, log, after):
                    return True
                seen = version
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._file.check_open()
                time.sleep(min(POLL_S, left))

        return self._read(poll)

    # Leases

    def acquire(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        now = time.time()

        def write(db: sqlite3.Connection) -> Lease | None:
            row = db.execute("SELECT holder, generation, expires_at FROM leases WHERE name = ?", (name,)).fetchone()
            if row is not None and row[0] not in ("", holder) and row[2] > now:
                return None
            generation = 1 if row is None else row[1] + 1
            db.execute(
                "INSERT INTO leases (name, holder, generation, expires_at) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO"
                " UPDATE SET holder = excluded.holder, generation = excluded.generation,"
                " expires_at = excluded.expires_at",
                (name, holder, generation, now + ttl_s),
            )
            return Lease(name, holder, generation)

        return self._write(write)

    def renew(self, lease: Lease, ttl_s: float) -> None:
        def write(db: sqlite3.Connection) -> None:
            kept = db.execute(
                "UPDATE leases SET expires_at = ? WHERE name = ? AND holder = ? AND generation = ?",
                (time.time() + ttl_s, lease.name, lease.holder, lease.generation),
            ).rowcount
            if not kept:
                raise LeaseLost(lease.name, lease.generation, _generation(db, lease.name))

        self._write(write)

    def release(self, lease: Lease) -> None:
        def write(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE leases SET holder = '', expires_at = 0 WHERE name = ? AND generation = ?",
                (lease.name, lease.generation),
            )

        self._write(write)

    def generation(self, name: str) -> int:
        return self._read(lambda db: _generation(db, name))

    def close(self) -> None:
        self._file.close()

    # The border to sqlite3

    def _row(self, sql: str, values: tuple[Any, ...]) -> Any:
        return self._read(lambda db: db.execute(sql, values).fetchone())

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        return self._read(lambda db: db.execute(sql, values).fetchall())

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._file.reader() as db:
                return work(db)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self.path.name}: {error}") from error

    def _write(self, work: Callable[[sqlite3.Connection], T], fence: Lease | None = None) -> T:
        try:
            with self._file.transaction() as db:
                if fence is not None:
                    _check_fence(db, fence)
                return work(db)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self.path.name}: {error}") from error


def _checked_revision(db: sqlite3.Connection, kind: str, key: str, expected: int | None) -> int:
    row = db.execute("SELECT revision FROM documents WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    found: int = row[0] if row else 0
    if expected is not None and found != expected:
        raise RevisionConflict(kind, key, expected, found)
    return found


def _count_up(db: sqlite3.Connection, table: str, name: str) -> int:
    column = "log" if table == "log_heads" else "name"
    value: int = db.execute(
        f"INSERT INTO {table} ({column}, value) VALUES (?, 1)"
        f" ON CONFLICT ({column}) DO UPDATE SET value = value + 1 RETURNING value",
        (name,),
    ).fetchone()[0]
    return value


def _has_entry(db: sqlite3.Connection, log: str, after: int) -> bool:
    return db.execute("SELECT 1 FROM entries WHERE log = ? AND seq > ? LIMIT 1", (log, after)).fetchone() is not None


def _generation(db: sqlite3.Connection, name: str) -> int:
    row = db.execute("SELECT generation FROM leases WHERE name = ?", (name,)).fetchone()
    return row[0] if row else 0


def _check_fence(db: sqlite3.Connection, fence: Lease) -> None:
    current = _generation(db, fence.name)
    if current != fence.generation:
        raise LeaseLost(fence.name, fence.generation, current)


def _entry(row: tuple[int, str, int, bytes]) -> Entry:
    seq, kind, micros, body = row
    return Entry(seq, kind, from_micros(micros), body)
