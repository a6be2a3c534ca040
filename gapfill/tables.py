"""One Delta table of the history: made when first written to, bound to a market and a schema version."""

import threading
from collections.abc import Callable, Mapping

import polars as pl
from deltalake import DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import TableNotFoundError

from gapfill.errors import HistoryMarketMismatch, HistoryTooNew

SCHEMA_VERSION = 1

_VERSION_KEY = "cloudoptim.schema_version"
_MARKET_KEY = "cloudoptim.market_id"
# Files that compaction replaced stay this long for readers in other processes that still have them in their plan.
_KEEP_REPLACED_H = 2


class Table:
    """Rows of one schema; appends are atomic, a scan sees every commit made before it, by whichever process.

    Safe to call from several threads. Several processes may append.
    """

    def __init__(
        self,
        uri: str,
        schema: pl.Schema,
        market_id: str,
        fence: Callable[[], None],
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        """Raises `HistoryMarketMismatch` or `HistoryTooNew` when a table stands at `uri` that we may not touch."""
        self.uri = uri
        self.schema = schema
        self._market_id = market_id
        self._fence = fence
        self._options = dict(storage_options or {}) or None
        self._lock = threading.RLock()
        self._delta: DeltaTable | None = None
        self._current()

    def scan(self) -> pl.LazyFrame:
        """All rows; collect it soon, for replaced files are removed some hours later."""
        with self._lock:
            delta = self._current()
            if delta is None or not delta.file_uris():
                return pl.LazyFrame(schema=self.schema)
            return pl.scan_delta(delta).select(*self.schema)

    def append(self, frame: pl.DataFrame) -> None:
        """Add the rows in one commit; `fence` is asked right before it."""
        if frame.is_empty():
            return
        rows = frame.select(*self.schema).cast(self.schema)
        with self._lock:
            delta = self._current() or self._create()
            self._fence()
            write_deltalake(
                delta, rows.to_arrow(), mode="append", writer_properties=WriterProperties(compression="ZSTD")
            )

    def compact(self) -> int:
        """Merge small files and remove what was replaced hours ago; how many files went into the merge."""
        with self._lock:
            delta = self._current()
            if delta is None:
                return 0
            self._fence()
            merged = int(delta.optimize.compact()["numFilesRemoved"])
            delta.vacuum(retention_hours=_KEEP_REPLACED_H, dry_run=False, enforce_retention_duration=False)
            return merged

    @property
    def version(self) -> int:
        """The number of the last commit; -1 when there is no table yet."""
        with self._lock:
            delta = self._current()
            return -1 if delta is None else delta.version()

    def _current(self) -> DeltaTable | None:
        if self._delta is not None:
            self._delta.update_incremental()
            return self._delta
        try:
            delta = DeltaTable(self.uri, storage_options=self._options)
        except TableNotFoundError:
            return None
        self._check(delta)
        self._delta = delta
        return delta

    def _create(self) -> DeltaTable:
        self._fence()
        delta = DeltaTable.create(
            self.uri,
            schema=pl.DataFrame(schema=self.schema).to_arrow().schema,
            mode="ignore",
            configuration={_VERSION_KEY: str(SCHEMA_VERSION), _MARKET_KEY: self._market_id},
            storage_options=self._options,
            raise_if_key_not_exists=False,
        )
        self._check(delta)
        self._delta = delta
        return delta

    def _check(self, delta: DeltaTable) -> None:
        configuration = delta.metadata().configuration
        found = int(configuration.get(_VERSION_KEY) or 0)
        if found > SCHEMA_VERSION:
            raise HistoryTooNew(found, SCHEMA_VERSION)
        market_id = configuration.get(_MARKET_KEY) or ""
        if market_id != self._market_id:
            raise HistoryMarketMismatch(market_id, self._market_id)
