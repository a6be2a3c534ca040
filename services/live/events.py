"""The live events and their stored form: a JSON header and Arrow columns in one body."""

import json
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Literal

import polars as pl

from services.store.protocol import Entry

# The store's log of live events; bounded, trimmed by the loop.
LOG = "events"
VERSION = 1

Kind = Literal["predictions", "decisions", "drift", "experiments"]


@dataclass(frozen=True)
class Event:
    """One event of the live log, decoded.

    `previous` is the seq of the event of the same kind before this one (0: none), so that a reader of one kind can
    tell a gap from another kind's event.
    """

    seq: int
    kind: str
    at: datetime
    market_id: str
    previous: int
    header: dict[str, Any]
    rows: pl.DataFrame


def encode(market_id: str, previous: int, header: dict[str, Any], rows: pl.DataFrame) -> bytes:
    """The body of an event: 4 bytes of header length, the header as JSON, the rows as Arrow IPC."""
    head = json.dumps({"v": VERSION, "market_id": market_id, "previous": previous, **header}).encode()
    columns = BytesIO()
    rows.write_ipc(columns, compression="zstd")
    return len(head).to_bytes(4, "big") + head + columns.getvalue()


def decode(entry: Entry) -> Event:
    """The event of a log entry; raises ValueError for a version that this release does not know."""
    size = int.from_bytes(entry.body[:4], "big")
    header = json.loads(entry.body[4 : 4 + size])
    if header.pop("v") != VERSION:
        raise ValueError(f"event {entry.seq} has a version that this release does not know")
    return Event(
        seq=entry.seq,
        kind=entry.kind,
        at=entry.at,
        market_id=header.pop("market_id"),
        previous=header.pop("previous"),
        header=header,
        rows=pl.read_ipc(BytesIO(entry.body[4 + size :])),
    )
