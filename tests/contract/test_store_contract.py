"""Every store passes every check that ships with the contract."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from services.store.checks import CHECKS
from services.store.checks_shared import Check, Open
from services.store.measured import MeasuredStore
from services.store.protocol import Store
from services.store.redis import RedisAddress, RedisStore
from services.store.sqlite import SqliteStore
from services.telemetry import Metrics
from tests.redis_server import RedisServer


@pytest.fixture(params=["sqlite", "redis", "measured"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    opened: list[Store] = []
    namespace = uuid4().hex

    def open_one() -> Store:
        store: Store
        if request.param == "sqlite":
            store = SqliteStore(tmp_path / "store.sqlite3")
        elif request.param == "measured":
            store = MeasuredStore(SqliteStore(tmp_path / "store.sqlite3"), Metrics(CollectorRegistry()))
        else:
            server: RedisServer = request.getfixturevalue("redis_server")
            store = RedisStore(RedisAddress("127.0.0.1", server.port, namespace=namespace))
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_store(check: Check, open_store: Open) -> None:
    check(open_store)
