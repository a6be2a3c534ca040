"""One Delta table of the history: made when first written to, bound to a market and a schema version."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import TableNotFoundError

from gapfill.errors import HistoryMarketMismatch, HistoryTooNew

SCHEMA_VERSION = 1

_VERSION_KEY = "cloudoptim.schema_version"
_MARKET_KEY = "cloudoptim.market_id"
# Files that compaction replaced stay this long for readers in other processes that still have them in their plan.
_KEEP_REPLACED_H = 2
_MONTH = "month"
_WHOLE_MONTH = 1 << 30
# Small row groups: one pool's rows are then found by reading little (8 million rows: 30 ms instead of 90).
_WRITER = WriterProperties(compression="ZSTD", max_row_group_size=65_536)


def _scan(delta: DeltaTable) -> pl.LazyFrame:
    """The table's rows. Polars opens the files of a local folder by their percent-encoded names, so it does not find
    those of a folder with a space in its name: those are named to it as they are.
    """
    if not (delta.table_uri.startswith("file://") and "%" in delta.table_uri):
        return pl.scan_delta(delta)
    files = [unquote(uri.removeprefix("file://")) for uri in delta.file_uris()]
    return pl.scan_parquet(files, hive_partitioning=False)


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
        *,
        month_of: str = "",
    ) -> None:
        """Raises `HistoryMarketMismatch` or `HistoryTooNew` when a table stands at `uri` that we may not touch.

        A table with `month_of`, an instant's column, is kept in months, each sorted by `pool_id` when compacted.
        """
        self.uri = uri
        self.schema = schema
        self._market_id = market_id
        self._fence = fence
        self._options = dict(storage_options or {}) or None
        self._month_of = month_of
        self._stored = pl.Schema({**schema, _MONTH: pl.String()}) if month_of else schema
        self._lock = threading.RLock()
        self._compacting = threading.Lock()
        self._delta: DeltaTable | None = None
        self._current()

    def scan(self) -> pl.LazyFrame:
        """All rows; collect it soon, for replaced files are removed some hours later."""
        with self._lock:
            delta = self._current()
            if delta is None or not delta.file_uris():
                return pl.LazyFrame(schema=self.schema)
            return _scan(delta).select(*self.schema)

    def append(self, frame: pl.DataFrame) -> None:
        """Add the rows in one commit; `fence` is asked right before it."""
        if frame.is_empty():
            return
        rows = frame.select(*self.schema).cast(self.schema)
        if self._month_of:
            rows = rows.with_columns(pl.col(self._month_of).dt.strftime("%Y-%m").alias(_MONTH))
        with self._lock:
            delta = self._current() or self._create()
            self._fence()
            write_deltalake(delta, rows.to_arrow(), mode="append", writer_properties=_WRITER)

    def compact(self) -> int:
        """Merge small files and remove what was replaced hours ago; how many files went into the merge.

        Appends and scans go on meanwhile. A month that is in one file already is left alone.
        """
        with self._compacting:
            delta = self._open()
            if delta is None:
                return 0
            merged = 0
            for partition in self._scattered(delta):
                self._fence()
                result = (
                    delta.optimize.z_order(["pool_id"], partition, target_size=_WHOLE_MONTH, writer_properties=_WRITER)
                    if self._month_of
                    else delta.optimize.compact(writer_properties=_WRITER)
                )
                merged += int(result["numFilesRemoved"])
            self._fence()
            delta.vacuum(retention_hours=_KEEP_REPLACED_H, dry_run=False, enforce_retention_duration=False)
            return merged

    def _scattered(self, delta: DeltaTable) -> list[list[tuple[str, str, str]] | None]:
        """Filters for the months that have more than one file; for a table without months None, when it has."""
        if not self._month_of:
            return [None] if len(delta.file_uris()) > 1 else []
        months = Counter(
            one[_MONTH]
            for one in delta.partitions()
            for _ in delta.file_uris(file_pruning_predicate=[(_MONTH, "=", one[_MONTH])])
        )
        return [[(_MONTH, "=", month)] for month, files in sorted(months.items()) if files > 1]

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
        self._delta = self._open()
        return self._delta

    def _open(self) -> DeltaTable | None:
        try:
            delta = DeltaTable(self.uri, storage_options=self._options)
        except TableNotFoundError:
            return None
        self._check(delta)
        return delta

    def _create(self) -> DeltaTable:
        self._fence()
        delta = DeltaTable.create(
            self.uri,
            schema=pl.DataFrame(schema=self._stored).to_arrow().schema,
            mode="ignore",
            partition_by=[_MONTH] if self._month_of else None,
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
