"""The data directory: one server at a time, and one market for good."""

import json
import os
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from services.errors import DataDirectoryInUse, MarketMismatch, RevisionConflict
from services.store.protocol import Store

LOCK_FILE = "server.lock"
HOLDER_FILE = "server.pid"
MARKET_FILE = "market.json"


class DirectoryLock:
    """The exclusive right to serve from `data_dir`, until `release` or the end of the process.

    The lock is the operating system's, so a killed server leaves none behind; the file beside it only names the holder.
    Raises `DataDirectoryInUse` when another process has it.
    """

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._holder = data_dir / HOLDER_FILE
        self._lock = FileLock(data_dir / LOCK_FILE, timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise DataDirectoryInUse(str(data_dir), _pid_in(self._holder)) from error
        self._holder.write_text(f"{os.getpid()}\n")

    def release(self) -> None:
        """Let others in; once is enough."""
        if self._lock.is_locked:
            self._holder.unlink(missing_ok=True)
            self._lock.release()

    def __enter__(self) -> "DirectoryLock":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def bind_market(data_dir: Path, market_id: str) -> None:
    """Tie `data_dir` to `market_id` at its first use.

    Raises `MarketMismatch` when it belongs to another market. Call it while the directory's lock is held.
    """
    path = data_dir / MARKET_FILE
    bound = bound_market(data_dir)
    if bound is None:
        data_dir.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump({"market_id": market_id}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    elif bound != market_id:
        raise MarketMismatch(str(data_dir), bound, market_id)


def bound_market(data_dir: Path) -> str | None:
    """The market that `data_dir` belongs to; None while it has none."""
    try:
        text = (data_dir / MARKET_FILE).read_text()
    except FileNotFoundError:
        return None
    market_id: str = json.loads(text)["market_id"]
    return market_id


def bind_store_market(store: Store, market_id: str) -> None:
    """The same for a store, which on a cluster is shared without a directory; raises `MarketMismatch`."""
    bound = store.get("market", "bound")
    if bound is None:
        try:
            store.put("market", "bound", {"market_id": market_id}, expected=0)
        except RevisionConflict:
            bind_store_market(store, market_id)
    elif bound.value["market_id"] != market_id:
        raise MarketMismatch("the store", bound.value["market_id"], market_id)


def _pid_in(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
