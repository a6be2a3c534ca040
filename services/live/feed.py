"""The feed: one poller per process follows the event log, and any number of readers follow the poller.

A reader is a cursor into the log, not a queue: a slow one holds nothing back and loses nothing, it reads what it
missed from the ring of recent events or, older than that, from the store.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from threading import Event as Flag
from threading import Thread

import structlog

from services.errors import StoreUnavailable
from services.live.events import LOG, Event, decode
from services.store.protocol import Entry, Store

RING = 512
PAGE = 50
POLL_S = 0.25
STOP_PATIENCE_S = 5.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing new up to `seq`, counting events of every kind; a reader may resume from there."""

    seq: int


@dataclass(frozen=True, slots=True)
class Reset:
    """What was asked for is no longer kept; the reader goes on after `seq`."""

    seq: int


Signal = Event | Heartbeat | Reset


class Feed:
    """Follows the log and wakes its readers; `start` and `stop` belong to the event loop that the readers run on."""

    def __init__(self, store: Store, on_event: Callable[[Event], None] | None = None) -> None:
        """`on_event` is called on the poller's thread, before any reader sees the event."""
        self._store = store
        self._on_event = on_event
        self._ring: deque[Event] = deque(maxlen=RING)
        self._polled = store.span(LOG)[1]
        self._delivered = self._polled
        self._stopping = Flag()
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event = asyncio.Event()
        self.readers = 0

    @property
    def newest(self) -> int:
        """The seq of the newest event that readers have been shown; `follow` from here misses and repeats nothing."""
        return self._delivered

    def start(self) -> None:
        """Begin to follow the log, from a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = Thread(target=self._follow, name="feed", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Stop following; readers end with their sockets."""
        self._stopping.set()
        if self._thread:
            await asyncio.to_thread(self._thread.join, STOP_PATIENCE_S)

    async def follow(self, kind: str, after: int, heartbeat_s: float) -> AsyncIterator[Signal]:
        """Events of a kind with seq > `after`, each exactly once, for as long as one listens.

        `Reset` comes where some of them are no longer kept, also in mid-stream for a reader that has fallen so far
        behind; `Heartbeat` when nothing else has come for `heartbeat_s`.
        """
        self.readers += 1
        clock = asyncio.get_running_loop().time
        try:
            cursor = after
            if after > (await asyncio.to_thread(self._store.span, LOG))[1]:
                cursor = self._delivered
                yield Reset(cursor)
            due = clock() + heartbeat_s
            while True:
                news = self._news
                page = await self._page(cursor)
                if page is None:
                    cursor = self._delivered
                    yield Reset(cursor)
                    continue
                events, cursor = page
                for event in events:
                    if event.kind == kind:
                        yield event
                        due = clock() + heartbeat_s
                if cursor < self._delivered:
                    continue
                try:
                    await asyncio.wait_for(news.wait(), max(0.0, due - clock()))
                except TimeoutError:
                    yield Heartbeat(cursor)
                    due = clock() + heartbeat_s
        finally:
            self.readers -= 1

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._store.wait(LOG, self._polled, POLL_S):
                    self._take(self._store.read(LOG, after=self._polled, limit=100))
            except StoreUnavailable as error:
                _log.warning("feed_waits_for_store", detail=error.detail)
                self._stopping.wait(POLL_S)

    def _take(self, entries: list[Entry]) -> None:
        events = _decoded(entries)
        for event in events:
            if self._on_event:
                self._on_event(event)
        loop = self._loop
        if entries and loop and not loop.is_closed():
            # The poller goes on from here at once; readers see the events when the loop has run `_deliver`.
            self._polled = entries[-1].seq
            loop.call_soon_threadsafe(self._deliver, events, self._polled)

    def _deliver(self, events: list[Event], upto: int) -> None:
        self._ring.extend(events)
        self._delivered = upto
        waiting, self._news = self._news, asyncio.Event()
        waiting.set()

    async def _page(self, cursor: int) -> tuple[list[Event], int] | None:
        """The next events after the cursor and how far they reach; None when what follows the cursor is gone."""
        if cursor >= self._delivered:
            return [], cursor
        if self._ring and cursor + 1 >= self._ring[0].seq:
            return [event for event in self._ring if event.seq > cursor], self._delivered
        entries = await asyncio.to_thread(self._store.read, LOG, after=cursor, limit=PAGE)
        if not entries or entries[0].seq != cursor + 1:
            return None
        return await asyncio.to_thread(_decoded, entries), entries[-1].seq


def _decoded(entries: list[Entry]) -> list[Event]:
    """Their events, but for those of a release that this one does not understand."""
    events = []
    for entry in entries:
        try:
            events.append(decode(entry))
        except ValueError as error:
            _log.error("event_not_understood", seq=entry.seq, detail=str(error))
    return events
