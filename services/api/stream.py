"""A WebSocket session over the feed: hello, events that pass its filters, heartbeats, resets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson
import polars as pl
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from gapfill.scope import with_places
from services.api.answers import dumps
from services.live.board import simulated
from services.live.events import Event, Kind
from services.live.feed import Feed, Heartbeat, Reset, Signal

_log = structlog.get_logger(__name__)
SLOW_READER = 4408  # as HTTP 408, request timeout
KEY_ENDED = 4401  # as HTTP 401
FAILED = 1011


@dataclass(frozen=True, slots=True)
class StreamPace:
    """Seconds without a message before a heartbeat, and seconds that a client may take to read one."""

    heartbeat_s: float = 15.0
    send_timeout_s: float = 20.0


USUAL_PACE = StreamPace()


class State(Enum):
    """Where a session is; it only ever moves on."""

    OPENING = auto()
    STREAMING = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Filters:
    """What a client wants to see; empty means everything."""

    regions: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()
    cluster_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asked for; `after` None means: from now on."""

    kind: Kind
    filters: Filters
    after: int | None


class Session:
    """One client on one stream, after it was let in."""

    def __init__(
        self, socket: WebSocket, feed: Feed, wish: Wish, pace: StreamPace, allowed: Callable[[], bool]
    ) -> None:
        """`allowed` is asked before each message: nothing is told to a key that has ended."""
        self._socket = socket
        self._feed = feed
        self._wish = wish
        self._pace = pace
        self._allowed = allowed
        self._sent_at = 0.0
        self.state = State.OPENING

    async def run(self, market_id: str) -> None:
        """Stream until the client goes, its key ends, or it reads so slowly that holding on would help nobody."""
        await self._socket.accept()
        newest = self._feed.newest
        hello = {
            "type": "hello",
            "stream": self._wish.kind,
            "seq": newest,
            "market_id": market_id,
            "simulated": simulated(market_id),
            "heartbeat_seconds": self._pace.heartbeat_s,
        }
        await self._send(hello)
        self.state = State.STREAMING
        gone = asyncio.ensure_future(self._until_gone())
        sending = asyncio.ensure_future(self._stream(newest if self._wish.after is None else self._wish.after))
        try:
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.state = State.CLOSED
            for task in (gone, sending):
                task.cancel()
            await asyncio.gather(gone, sending, return_exceptions=True)

    async def _until_gone(self) -> None:
        """A client has nothing to say; what it says is read so that its close is seen."""
        with suppress(WebSocketDisconnect):
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return

    async def _stream(self, after: int) -> None:
        """Ends with the socket closed, and the reason said."""
        try:
            code, reason = await self._tell(after)
        except TimeoutError:
            code, reason = SLOW_READER, "reads too slowly; resume with after=<last seq>"
        except (WebSocketDisconnect, OSError):
            return
        except Exception:  # noqa: BLE001 - the client learns that it has to come back
            _log.exception("stream_failed", stream=self._wish.kind)
            code, reason = FAILED, "the server failed; resume with after=<last seq>"
        await self._socket.close(code, reason)

    async def _tell(self, after: int) -> tuple[int, str]:
        """Every signal, until the key ends: the code and the words to close with."""
        signals: AsyncIterator[Signal] = self._feed.follow(self._wish.kind, after, self._pace.heartbeat_s)
        async with aclosing(signals):  # type: ignore[type-var]
            async for signal in signals:
                if not self._allowed():
                    return KEY_ENDED, "the key has ended"
                if message := self._message(signal) or self._overdue(signal):
                    await self._send(message)
        raise AssertionError("a feed never ends")

    def _message(self, signal: Signal) -> dict[str, Any] | None:
        kind, filters = self._wish.kind, self._wish.filters
        if isinstance(signal, Heartbeat):
            return _heartbeat(signal.seq)
        if isinstance(signal, Reset):
            return {"type": "reset", "seq": signal.seq, "snapshot": f"/api/v1/ml/{_SNAPSHOT[kind]}"}
        return _MESSAGES[kind](signal, filters)

    def _overdue(self, signal: Signal) -> dict[str, Any] | None:
        """A heartbeat where events come, but none for a while that passes the filters."""
        quiet_s = asyncio.get_running_loop().time() - self._sent_at
        return _heartbeat(signal.seq) if quiet_s >= self._pace.heartbeat_s else None

    async def _send(self, message: dict[str, Any]) -> None:
        self._sent_at = asyncio.get_running_loop().time()
        text = dumps(message).decode()
        await asyncio.wait_for(self._socket.send_text(text), self._pace.send_timeout_s)


def _heartbeat(seq: int) -> dict[str, Any]:
    return {"type": "heartbeat", "seq": seq}


def predictions(event: Event, filters: Filters) -> dict[str, Any] | None:
    """The message of a predictions event; None when no row passes the filters."""
    rows = with_places(event.rows)
    if filters.regions:
        rows = rows.filter(pl.col("region").is_in(list(filters.regions)))
    if filters.instance_types:
        rows = rows.filter(pl.col("instance_type").is_in(list(filters.instance_types)))
    if rows.is_empty() and (filters.regions or filters.instance_types):
        return None
    return {"type": "predictions", "previous": event.previous, **prediction_rows(event, rows)}


def prediction_rows(event: Event, rows: pl.DataFrame) -> dict[str, Any]:
    """An event's predictions as clients see them; `rows` have their places."""
    named = rows.with_columns(pl.col("pool_id").str.splitn("/", 4).struct.field("field_1").alias("availability_zone"))
    for seconds in ("observed_at", "known_at"):
        named = named.with_columns(
            pl.from_epoch((pl.col(seconds) * 1000).cast(pl.Int64), time_unit="ms").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        )
    told = named.rename({"product": "product_description", "known_at": "data_as_of"})
    return {
        **_head(event),
        "models": event.header["models"],
        "predictions": told.to_dicts(),
    }


def decisions(event: Event, filters: Filters) -> dict[str, Any] | None:
    """The message of a decisions event; None when no cluster passes the filters."""
    told = [row for row in event.rows.iter_rows(named=True) if _passes(row, filters)]
    if not told:
        return None
    return {
        "type": "decisions",
        "previous": event.previous,
        **_head(event),
        "made_by": event.header["made_by"],
        "decisions": [orjson.loads(row["decision"]) for row in told],
    }


def drift(event: Event, _filters: Filters) -> dict[str, Any]:
    """The message of new drift alerts."""
    return {
        "type": "drift",
        "previous": event.previous,
        **_head(event),
        "alerts": [orjson.loads(alert) for alert in event.rows["alert"]],
    }


def experiments(event: Event, _filters: Filters) -> dict[str, Any]:
    """The message of an experiment that has changed."""
    return {
        "type": "experiments",
        "previous": event.previous,
        **_head(event),
        "experiments": [orjson.loads(one) for one in event.rows["experiment"]],
    }


def _head(event: Event) -> dict[str, Any]:
    """What every event says: when it was told, of what instant, of whose market."""
    return {
        "seq": event.seq,
        "at": event.at,
        "as_of": event.header["as_of"],
        "market_id": event.market_id,
        "simulated": simulated(event.market_id),
    }


_MESSAGES: dict[str, Callable[[Event, Filters], dict[str, Any] | None]] = {
    "predictions": predictions,
    "decisions": decisions,
    "drift": drift,
    "experiments": experiments,
}
_SNAPSHOT: dict[str, str] = {
    "predictions": "predictions/latest",
    "decisions": "decisions/latest",
    "drift": "drift/alerts",
    "experiments": "experiments",
}


def _passes(row: dict[str, Any], filters: Filters) -> bool:
    return (
        (not filters.cluster_ids or row["cluster_id"] in filters.cluster_ids)
        and (not filters.regions or bool(set(filters.regions) & set(row["regions"])))
        and (not filters.instance_types or bool(set(filters.instance_types) & set(row["instance_types"])))
    )
