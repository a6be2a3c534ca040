"""The data directory admits one server and one market."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from services.errors import DataDirectoryInUse, MarketMismatch
from services.store.directory import DirectoryLock, bind_market, bind_store_market, bound_market
from services.store.sqlite import SqliteStore


@pytest.fixture
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        yield process


def try_lock(data_dir: Path) -> int:
    """0 when the lock was free, else the pid of its holder."""
    try:
        DirectoryLock(data_dir).release()
    except DataDirectoryInUse as error:
        return error.pid
    return 0


def hold(data_dir: Path) -> None:
    """Take the lock and keep it until the process ends."""
    held.append(DirectoryLock(data_dir))


held: list[DirectoryLock] = []


def own_pid() -> int:
    return multiprocessing.current_process().pid or 0


def test_a_second_server_is_refused_and_told_who_holds_it(tmp_path: Path, elsewhere: ProcessPoolExecutor) -> None:
    data_dir = tmp_path / "with space" / "data"
    with DirectoryLock(data_dir):
        assert elsewhere.submit(try_lock, data_dir).result(60) == own_pid()
    assert elsewhere.submit(try_lock, data_dir).result(60) == 0


def test_a_killed_server_leaves_no_lock_behind(tmp_path: Path, elsewhere: ProcessPoolExecutor) -> None:
    elsewhere.submit(hold, tmp_path).result(60)
    pid = elsewhere.submit(own_pid).result(60)
    with pytest.raises(DataDirectoryInUse) as refused:
        DirectoryLock(tmp_path)
    assert refused.value.pid == pid
    for process in multiprocessing.active_children():
        if process.pid == pid:
            process.kill()
            process.join(60)
    DirectoryLock(tmp_path).release()


def test_a_data_directory_belongs_to_its_first_market(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    assert bound_market(data_dir) is None
    bind_market(data_dir, "sim:7")
    bind_market(data_dir, "sim:7")
    assert bound_market(data_dir) == "sim:7"
    with pytest.raises(MarketMismatch) as refused:
        bind_market(data_dir, "aws:123456789012")
    assert (refused.value.found, refused.value.expected) == ("sim:7", "aws:123456789012")
    assert bound_market(data_dir) == "sim:7"


def test_a_store_belongs_to_its_first_market(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite3")
    bind_store_market(store, "sim:7")
    bind_store_market(store, "sim:7")
    with pytest.raises(MarketMismatch):
        bind_store_market(store, "sim:8")
    store.close()
