"""A WebSocket session over the feed: hello, events that pass its filters, heartbeats, resets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson
import polars as pl
from starlette.websockets import WebSocket, WebSocketDisconnect

from gapfill.scope import with_places
from services.api.answers import dumps
from services.live.board import simulated
from services.live.events import Event, Kind
from services.live.feed import Feed, Heartbeat, Reset, Signal

HEARTBEAT_S = 15.0
SEND_TIMEOUT_S = 20.0
SLOW_READER = 4408  # as HTTP 408, request timeout


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


class Session:
    """One client on one stream, after it was let in."""

    def __init__(self, socket: WebSocket, feed: Feed, kind: Kind, filters: Filters, after: int | None) -> None:
        self._socket = socket
        self._feed = feed
        self._kind = kind
        self._filters = filters
        self._after = after
        self.state = State.OPENING

    async def run(self, market_id: str) -> None:
        """Stream until the client goes, or reads so slowly that holding on would help nobody."""
        await self._socket.accept()
        hello = {
            "type": "hello",
            "stream": self._kind,
            "seq": self._feed.newest,
            "market_id": market_id,
            "simulated": simulated(market_id),
            "heartbeat_seconds": HEARTBEAT_S,
        }
        await self._send(hello)
        self.state = State.STREAMING
        gone = asyncio.ensure_future(self._until_gone())
        sending = asyncio.ensure_future(self._stream())
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

    async def _stream(self) -> None:
        signals: AsyncIterator[Signal] = self._feed.follow(self._kind, self._after, HEARTBEAT_S)
        async with aclosing(signals):  # type: ignore[type-var]
            async for signal in signals:
                if message := self._message(signal):
                    try:
                        await self._send(message)
                    except TimeoutError:
                        await self._socket.close(SLOW_READER, "reads too slowly; resume with after=<last seq>")
                        return

    def _message(self, signal: Signal) -> dict[str, Any] | None:
        if isinstance(signal, Heartbeat):
            return {"type": "heartbeat", "seq": signal.seq}
        if isinstance(signal, Reset):
            return {"type": "reset", "seq": signal.seq, "snapshot": f"/api/v1/ml/{self._kind}/latest"}
        return predictions(signal, self._filters) if self._kind == "predictions" else decisions(signal, self._filters)

    async def _send(self, message: dict[str, Any]) -> None:
        text = dumps(message).decode()
        await asyncio.wait_for(self._socket.send_text(text), SEND_TIMEOUT_S)


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
        "seq": event.seq,
        "at": event.at,
        "as_of": event.header["as_of"],
        "market_id": event.market_id,
        "simulated": simulated(event.market_id),
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
        "seq": event.seq,
        "previous": event.previous,
        "at": event.at,
        "as_of": event.header["as_of"],
        "market_id": event.market_id,
        "simulated": simulated(event.market_id),
        "made_by": event.header["made_by"],
        "decisions": [orjson.loads(row["decision"]) for row in told],
    }


def _passes(row: dict[str, Any], filters: Filters) -> bool:
    return (
        (not filters.cluster_ids or row["cluster_id"] in filters.cluster_ids)
        and (not filters.regions or bool(set(filters.regions) & set(row["regions"])))
        and (not filters.instance_types or bool(set(filters.instance_types) & set(row["instance_types"])))
    )
