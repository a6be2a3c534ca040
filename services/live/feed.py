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
from services.store.protocol import Store

RING = 512
POLL_S = 1.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing new; `seq` is the newest event of any kind."""

    seq: int


@dataclass(frozen=True, slots=True)
class Reset:
    """What was asked for is no longer kept; the reader goes on after `seq`."""

    seq: int


Signal = Event | Heartbeat | Reset


class Feed:
    """Follows the log and wakes its readers; `start` and `stop` belong to the event loop that the readers run on."""

    def __init__(self, store: Store, on_event: Callable[[Event], None] | None = None) -> None:
        self._store = store
        self._on_event = on_event
        self._ring: deque[Event] = deque(maxlen=RING)
        self._newest = store.span(LOG)[1]
        self._oldest_in_ring = self._newest + 1
        self._stopping = Flag()
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event = asyncio.Event()
        self.readers = 0

    @property
    def newest(self) -> int:
        """The seq of the newest event that this process has seen."""
        return self._newest

    def start(self) -> None:
        """Begin to follow the log, from a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = Thread(target=self._follow, name="feed", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Stop following; readers end with their sockets."""
        self._stopping.set()
        if self._thread:
            await asyncio.to_thread(self._thread.join, POLL_S * 5)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._store.wait(LOG, self._newest, POLL_S):
                    self._take([decode(entry) for entry in self._store.read(LOG, after=self._newest, limit=100)])
            except StoreUnavailable as error:
                _log.warning("feed_waits_for_store", detail=error.detail)
                self._stopping.wait(POLL_S)

    def _take(self, events: list[Event]) -> None:
        if not events:
            return
        for event in events:
            if self._on_event:
                self._on_event(event)
        loop = self._loop
        if loop and not loop.is_closed():
            loop.call_soon_threadsafe(self._deliver, events)
        # The poller goes on from here at once; readers see the events when the loop has run `_deliver`.
        self._newest = events[-1].seq

    def _deliver(self, events: list[Event]) -> None:
        self._ring.extend(events)
        self._oldest_in_ring = self._ring[0].seq
        waiting, self._news = self._news, asyncio.Event()
        waiting.set()

    async def follow(self, kind: str, after: int | None, heartbeat_s: float) -> AsyncIterator[Signal]:
        """Events of a kind with seq > `after` (None: only new ones), each exactly once, for as long as one listens."""
        self.readers += 1
        try:
            cursor = self._delivered if after is None else after
            oldest, newest = await asyncio.to_thread(self._store.span, LOG)
            if after is not None and (after > newest or after + 1 < oldest):
                cursor = newest
                yield Reset(newest)
            while True:
                news = self._news
                for event in await self._after(cursor):
                    cursor = event.seq
                    if event.kind == kind:
                        yield event
                if cursor < self._delivered:
                    continue
                try:
                    await asyncio.wait_for(news.wait(), heartbeat_s)
                except TimeoutError:
                    yield Heartbeat(self._newest)
        finally:
            self.readers -= 1

    @property
    def _delivered(self) -> int:
        return self._ring[-1].seq if self._ring else self._oldest_in_ring - 1

    async def _after(self, cursor: int) -> list[Event]:
        if cursor >= self._delivered:
            return []
        if cursor + 1 >= self._oldest_in_ring:
            return [event for event in self._ring if event.seq > cursor]
        entries = await asyncio.to_thread(self._store.read, LOG, after=cursor, limit=50)
        return await asyncio.to_thread(lambda: [decode(entry) for entry in entries])
