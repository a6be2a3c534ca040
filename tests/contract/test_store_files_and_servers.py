"""What only one kind of store can meet: forks, newer files, broken files, servers that go away."""

import os
import pickle
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.errors import StoreTooNew, StoreUnavailable
from services.settings import Settings
from services.store.checks import AT
from services.store.checks_shared import eventually
from services.store.opening import open_store
from services.store.redis import RedisAddress, RedisStore
from services.store.sqlite import SqliteStore
from tests.redis_server import RedisServer, free_port


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "folder" / "store.sqlite3")
    yield store
    store.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, password="a pass/word")
    server.start()
    yield server
    server.stop()


def test_a_newer_file_is_refused(store: SqliteStore) -> None:
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE meta SET value = 99")
    db.close()
    with pytest.raises(StoreTooNew) as refused:
        SqliteStore(store.path)
    assert (refused.value.found, refused.value.known) == (99, 1)


def test_a_file_that_is_no_store_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite3").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreUnavailable):
        SqliteStore(tmp_path / "store.sqlite3")


def test_a_forked_child_opens_its_own_connections(store: SqliteStore) -> None:
    store.put("job", "a", {"by": "parent"})
    store._file._write_lock.acquire()  # as if another thread were writing at this moment
    child = os.fork()
    if child != 0:
        store._file._write_lock.release()
    else:
        signal.alarm(20)
        try:
            store.put("job", "b", {"by": "child"})
            store.append("events", "a", AT, b"x")
        finally:
            os._exit(0 if len(store.find("job")) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [document.key for document in store.find("job")] == ["a", "b"]
    assert store.append("events", "a", AT, b"x").seq == 2


def test_a_failed_write_leaves_nothing(store: SqliteStore) -> None:
    with pytest.raises(TypeError):
        store.put("job", "a", {"bad": object()})
    assert store.get("job", "a") is None
    assert store.put("job", "a", {}, expected=0) == 1


def test_a_newer_server_is_refused(redis_server: RedisServer) -> None:
    address = RedisAddress("127.0.0.1", redis_server.port, namespace="newer")
    store = RedisStore(address)
    store._writes.set("{newer}:schema_version", 99)
    store.close()
    with pytest.raises(StoreTooNew):
        RedisStore(address)


def test_namespaces_share_a_server_without_meeting(redis_server: RedisServer) -> None:
    one, two = (
        RedisStore(RedisAddress("127.0.0.1", redis_server.port, namespace=namespace)) for namespace in ("n", "n:log")
    )
    one.put("job", "a", {})
    one.append("events", "a", AT, b"x")
    assert two.find("job") == []
    assert two.span("events") == (1, 0)
    assert two.next_number("n") == one.next_number("n") == 1
    one.close()
    two.close()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        RedisStore(RedisAddress("127.0.0.1", free_port()))


def test_a_wrong_password_is_unavailable_and_not_repeated(own_server: RedisServer) -> None:
    address = RedisAddress("127.0.0.1", own_server.port, password="wrong-secret")
    with pytest.raises(StoreUnavailable) as refused:
        RedisStore(address)
    assert "wrong-secret" not in str(refused.value)
    assert "wrong-secret" not in repr(address)


def test_a_server_that_comes_back_is_used_again(own_server: RedisServer) -> None:
    store = RedisStore(RedisAddress("127.0.0.1", own_server.port, password=own_server.password))
    store.put("job", "a", {"n": 1})
    assert store.append("events", "a", AT, b"x").seq == 1
    own_server.stop()
    with pytest.raises(StoreUnavailable):
        store.get("job", "a")
    with pytest.raises(StoreUnavailable):
        store.append("events", "a", AT, b"x")
    own_server.start()
    assert store.append("events", "a", AT, b"x").seq == 2
    assert [document.value for document in store.find("job")] == [{"n": 1}]
    assert store.wait("events", 1, 0)
    store.close()


def test_a_pickled_store_speaks_to_the_same_server(own_server: RedisServer) -> None:
    store = RedisStore(RedisAddress("127.0.0.1", own_server.port, password=own_server.password))
    copy: RedisStore = pickle.loads(pickle.dumps(store))
    copy.put("job", "a", {})
    assert eventually(lambda: store.get("job", "a")).revision == 1
    copy.close()
    store.close()


def test_settings_choose_the_store(redis_server: RedisServer, tmp_path: Path) -> None:
    env = {"ML_SERVER_DATA_DIR": str(tmp_path), "REDIS_PORT": str(redis_server.port), "STORE_NAMESPACE": "chosen"}
    sqlite_store = open_store(Settings.load(env))
    redis_store = open_store(Settings.load(env | {"LOCAL_PREDICTION_STORE": "redis"}))
    assert isinstance(sqlite_store, SqliteStore)
    assert sqlite_store.path == tmp_path / "store.sqlite3"
    assert isinstance(redis_store, RedisStore)
    assert redis_store.address.namespace == "chosen"
    sqlite_store.close()
    redis_store.close()
