"""A WebSocket session in-process: who reads too slowly, and whose key has ended, is told so and let go."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from starlette.websockets import WebSocket

from services.api.stream import KEY_ENDED, SLOW_READER, Filters, Session, StreamPace, Wish
from services.live.events import LOG, encode
from services.live.feed import Feed
from services.store.sqlite import SqliteStore
from tests.unit.live.live_blocks import NOW


class Client:
    """The other end of a socket, as ASGI has it: after `takes` messages it reads no more, after `stays` it leaves."""

    def __init__(self, takes: int = 1_000, stays: int = 1_000) -> None:
        self.takes = takes
        self.stays = stays
        self.told: list[dict[str, Any]] = []
        self.closed: int | None = None
        self._left = asyncio.Event()
        self._opened = False

    async def receive(self) -> dict[str, Any]:
        if not self._opened:
            self._opened = True
            return {"type": "websocket.connect"}
        await self._left.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            self.closed = message["code"]
        if message["type"] == "websocket.send":
            if len(self.told) == self.takes:
                await asyncio.Event().wait()
            self.told.append(orjson.loads(message["text"]))
            if len(self.told) == self.stays:
                self._left.set()


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """A log with five ticks."""
    kept = SqliteStore(tmp_path / "store.sqlite3")
    rows = pl.DataFrame(
        {"pool_id": ["us-east-1/us-east-1a/m5.large/Linux/UNIX"], "observed_at": [1.0], "known_at": [2.0]}
    )
    for seq in range(5):
        kept.append(LOG, "predictions", NOW, encode("sim:1", seq, {"as_of": "now", "models": {}}, rows))
    return kept


def stream(store: SqliteStore, client: Client, allowed: Callable[[], bool] = lambda: True) -> Client:
    """Run a session from the log's beginning to its end."""

    async def run() -> None:
        feed = Feed(store)
        feed.start()
        socket = WebSocket({"type": "websocket", "headers": []}, client.receive, client.send)
        wish = Wish("predictions", Filters(), 0)
        session = Session(socket, feed, wish, StreamPace(heartbeat_s=5, send_timeout_s=0.1), allowed)
        await asyncio.wait_for(session.run("sim:1"), 10)
        assert feed.readers == 0
        await feed.stop()

    asyncio.run(run())
    return client


def test_a_client_that_leaves_ends_the_session(store: SqliteStore) -> None:
    client = stream(store, Client(stays=6))
    assert [message["type"] for message in client.told] == ["hello", *["predictions"] * 5]
    assert [message["seq"] for message in client.told[1:]] == [1, 2, 3, 4, 5]
    assert client.told[1]["predictions"][0]["availability_zone"] == "us-east-1a"


def test_who_reads_too_slowly_is_let_go(store: SqliteStore) -> None:
    client = stream(store, Client(takes=3))
    assert len(client.told) == 3
    assert client.closed == SLOW_READER


def test_nothing_is_told_to_a_key_that_has_ended(store: SqliteStore) -> None:
    answers = iter([True, True, False])
    client = stream(store, Client(), lambda: next(answers))
    assert [message["type"] for message in client.told] == ["hello", "predictions", "predictions"]
    assert client.closed == KEY_ENDED
