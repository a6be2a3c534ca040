"""Every store passes every check that ships with the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.store.checks import CHECKS
from services.store.checks_shared import Check, Open
from services.store.protocol import Store
from services.store.sqlite import SqliteStore


@pytest.fixture(params=["sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    opened: list[Store] = []

    def open_one() -> Store:
        store: Store = SqliteStore(tmp_path / "store.sqlite3")
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_store(check: Check, open_store: Open) -> None:
    check(open_store)
