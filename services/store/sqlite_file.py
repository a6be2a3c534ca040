"""The connections to one SQLite file: one writer, a few readers, opened anew in each process."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.errors import StoreTooNew, StoreUnavailable
from services.store.protocol import SCHEMA_VERSION

BUSY_S = 10.0
IDLE_READERS = 8

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (kind, key)
);
CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log_heads (log TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
    log TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (log, seq)
);
CREATE INDEX IF NOT EXISTS entries_by_kind ON entries (log, kind, seq);
CREATE TABLE IF NOT EXISTS leases (
    name TEXT PRIMARY KEY, holder TEXT NOT NULL, generation INTEGER NOT NULL, expires_at REAL NOT NULL
) WITHOUT ROWID;
"""


class SqliteFile:
    """Connections to `path`; safe in threads, and after a fork the child opens its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._closed = False
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it holds hashes of keys; SQLite gives its side files the same mode
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._write_lock = threading.Lock()
        self._pool_lock = threading.Lock()
        self._readers: list[sqlite3.Connection] = []
        try:
            self._writer = self._connect()
            _prepare(self._writer)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self._path.name}: {error}") from error

    def check_open(self) -> None:
        """Raise `StoreUnavailable` after `close`; in a forked child, open anew."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._pid != os.getpid():
            # The parent's connections must be neither used nor closed here: SQLite's locks belong to the parent.
            _inherited.extend([self._writer, *self._readers])
            self._start()

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection of one's own, to read with."""
        self.check_open()
        with self._pool_lock:
            connection = self._readers.pop() if self._readers else None
        if connection is None:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._pool_lock:
            if not self._closed and len(self._readers) < IDLE_READERS:
                self._readers.append(connection)
                return
        connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The writing connection inside a transaction that commits, or rolls back when the body raises."""
        self.check_open()
        with self._write_lock:
            self.check_open()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close every connection that is not in use; those in use close when they are given back."""
        with self._write_lock, self._pool_lock:
            if self._closed:
                return
            self._closed = True
            idle, self._readers = self._readers, []
            if self._pid == os.getpid():
                for connection in [self._writer, *idle]:
                    connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        _retry_while_locked(lambda: connection.execute("PRAGMA journal_mode = WAL"))
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        return connection


_inherited: list[sqlite3.Connection] = []


def _prepare(db: sqlite3.Connection) -> None:
    """Create what is missing; refuse what a newer release made."""
    db.execute("BEGIN IMMEDIATE")
    try:
        found = _schema_version(db)
        if found > SCHEMA_VERSION:
            raise StoreTooNew(found, SCHEMA_VERSION)
        if found < SCHEMA_VERSION:
            for statement in SCHEMA.split(";"):
                db.execute(statement)
            db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('schema_version', ?)", (SCHEMA_VERSION,))
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        db.close()
        raise


def _schema_version(db: sqlite3.Connection) -> int:
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return 0
    row = db.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    return row[0] if row else 0


def _retry_while_locked(work: Callable[[], object]) -> None:
    """Changing to WAL does not honour the busy timeout, so several processes that start together need this."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            work()
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
