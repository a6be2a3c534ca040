"""The feed over a real store: each event exactly once, resets where the log has been trimmed, heartbeats in between."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from services.live.events import LOG, Event, encode
from services.live.feed import Feed, Heartbeat, Reset, Signal
from services.store.sqlite import SqliteStore
from tests.unit.live.live_blocks import NOW

ROWS = pl.DataFrame({"pool_id": ["a"]})
PATIENCE_S = 10


class Log:
    """A store's event log that is written to by hand."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "store.sqlite3")
        self.last = {"predictions": 0, "decisions": 0}

    def tell(self, kind: str = "predictions", count: int = 1) -> None:
        for _ in range(count):
            body = encode("sim:1", self.last[kind], {"as_of": NOW.isoformat()}, ROWS)
            self.last[kind] = self.store.append(LOG, kind, NOW, body).seq


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


async def take(feed: Feed, count: int, after: int, kind: str = "predictions", heartbeat_s: float = 5) -> list[Signal]:
    """The next signals of a kind."""
    found: list[Signal] = []

    async def read() -> None:
        signals = feed.follow(kind, after, heartbeat_s)
        async for signal in signals:
            found.append(signal)
            if len(found) == count:
                break
        await signals.aclose()  # type: ignore[attr-defined]

    await asyncio.wait_for(read(), PATIENCE_S)
    return found


def run(log: Log, story: Callable[[Feed], Awaitable[Any]], seen: list[Event] | None = None) -> Feed:
    """Tell a story over a feed that has been started."""

    async def told() -> Feed:
        feed = Feed(log.store, seen.append if seen is not None else None)
        feed.start()
        try:
            await story(feed)
        finally:
            await feed.stop()
        return feed

    return asyncio.run(told())


def seqs(signals: list[Signal]) -> list[int]:
    return [signal.seq for signal in signals if isinstance(signal, Event)]


def test_news_arrive_in_order_each_once(log: Log) -> None:
    log.tell(count=2)
    seen: list[Event] = []

    async def story(feed: Feed) -> None:
        assert feed.newest == 2
        reading = asyncio.create_task(take(feed, 3, feed.newest))
        await asyncio.to_thread(log.tell, "predictions", 3)
        assert seqs(await reading) == [3, 4, 5]

    run(log, story, seen)
    assert [event.seq for event in seen] == [3, 4, 5]


def test_a_reader_gets_its_own_kind_and_the_chain_of_it(log: Log) -> None:
    for kind in ("predictions", "decisions", "decisions", "predictions", "decisions"):
        log.tell(kind)

    async def story(feed: Feed) -> None:
        signals = await take(feed, 3, 0, "decisions")
        assert [(s.seq, s.previous) for s in signals if isinstance(s, Event)] == [(2, 0), (3, 2), (5, 3)]

    run(log, story)


def test_resuming_anywhere_misses_and_repeats_nothing(log: Log) -> None:
    log.tell(count=120)  # more than a page of the store

    async def story(feed: Feed) -> None:
        await asyncio.to_thread(log.tell, "predictions", 30)
        await take(feed, 1, 149)  # shown to readers by then
        for after in (0, 1, 49, 50, 51, 119, 120, 121, 149):
            assert seqs(await take(feed, 150 - after, after)) == list(range(after + 1, 151))

    run(log, story)


def test_what_was_trimmed_is_a_reset_and_then_news(log: Log) -> None:
    log.tell(count=30)
    log.store.trim(LOG, 10)

    async def story(feed: Feed) -> None:
        assert await take(feed, 1, 5) == [Reset(30)]
        assert seqs(await take(feed, 10, 20)) == list(range(21, 31))
        reading = asyncio.create_task(take(feed, 2, 19))
        await asyncio.sleep(0)
        await asyncio.to_thread(log.tell)
        reset, event = await reading
        assert isinstance(reset, Reset)
        assert event.seq in (reset.seq + 1, 31)

    run(log, story)


def test_a_place_that_was_never_reached_is_a_reset(log: Log) -> None:
    log.tell(count=3)

    async def story(feed: Feed) -> None:
        assert await take(feed, 1, 99) == [Reset(3)]

    run(log, story)


def test_a_reader_that_falls_behind_the_log_in_mid_stream_is_told(log: Log) -> None:
    log.tell(count=200)

    async def story(feed: Feed) -> None:
        signals = feed.follow("predictions", 0, 5)
        first = await anext(signals)  # the page of 50 that it holds
        assert first.seq == 1
        await asyncio.to_thread(log.store.trim, LOG, 20)
        rest = [await anext(signals) for _ in range(50)]
        assert seqs(rest[:49]) == list(range(2, 51))
        assert rest[49] == Reset(200)
        await signals.aclose()  # type: ignore[attr-defined]

    run(log, story)


def test_heartbeats_come_though_events_of_another_kind_do(log: Log) -> None:
    async def story(feed: Feed) -> None:
        reading = asyncio.create_task(take(feed, 3, 0, "decisions", heartbeat_s=0.2))
        while not reading.done():
            await asyncio.to_thread(log.tell)
            await asyncio.sleep(0.02)
        beats = await reading
        assert all(isinstance(beat, Heartbeat) for beat in beats)
        assert [beat.seq for beat in beats] == sorted(beat.seq for beat in beats)
        assert beats[-1].seq > beats[0].seq

    run(log, story)


def test_an_event_of_a_later_release_is_passed_over(log: Log) -> None:
    log.tell()
    head = b'{"v": 99}'
    log.store.append(LOG, "predictions", NOW, len(head).to_bytes(4, "big") + head)
    log.tell()

    async def story(feed: Feed) -> None:
        assert seqs(await take(feed, 2, 0)) == [1, 3]
        log.store.append(LOG, "predictions", NOW, len(head).to_bytes(4, "big") + head)
        await asyncio.to_thread(log.tell)
        assert seqs(await take(feed, 1, 3)) == [5]

    run(log, story)


def test_readers_are_counted_while_they_listen(log: Log) -> None:
    log.tell()

    async def story(feed: Feed) -> None:
        signals = feed.follow("predictions", 0, 5)
        await anext(signals)
        assert feed.readers == 1
        await signals.aclose()  # type: ignore[attr-defined]
        assert feed.readers == 0

    run(log, story)
