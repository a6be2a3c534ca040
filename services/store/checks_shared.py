"""What every store must do when several threads and processes share it."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import chain
from typing import TypeVar

from services.errors import LeaseLost, RevisionConflict
from services.store.protocol import Store

T = TypeVar("T")

Open = Callable[[], Store]
Check = Callable[[Open], None]

WORKERS = 4
TURNS = 25
DEADLINE_S = 60.0
AT = datetime(2026, 3, 1, tzinfo=UTC)


def processes() -> Executor:
    """Workers in processes of their own, started clean."""
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


def threads() -> Executor:
    """Workers in threads of this process."""
    return ThreadPoolExecutor(WORKERS)


def eventually(attempt: Callable[[], T | None]) -> T:
    """The first result of `attempt` that is not None, within a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while (result := attempt()) is None:
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
    return result


# What one worker does; at module level so that other processes find it.


def increment(store: Store, turns: int) -> int:
    """Count a document up `turns` times by compare-and-set; how often another was faster."""
    lost = 0
    for _ in range(turns):
        while True:
            document = store.get("counter", "n")
            value, revision = (document.value["n"], document.revision) if document else (0, 0)
            try:
                store.put("counter", "n", {"n": value + 1}, expected=revision)
                break
            except RevisionConflict:
                lost += 1
    return lost


def append_many(store: Store, name: str, turns: int) -> list[int]:
    """Append `turns` entries; their seqs."""
    return [store.append("events", name, AT, f"{name}-{turn}".encode()).seq for turn in range(turns)]


def take_numbers(store: Store, turns: int) -> list[int]:
    """`turns` numbers."""
    return [store.next_number("n") for _ in range(turns)]


def contend(store: Store, holder: str, turns: int) -> list[int]:
    """Acquire and release a lease `turns` times, writing under its fence; the generations."""
    generations = []
    for _ in range(turns):
        lease = eventually(lambda: store.acquire("writer", holder, 30))
        try:
            store.append("fenced", holder, AT, str(lease.generation).encode(), fence=lease)
        except LeaseLost as error:
            raise AssertionError("a lease was lost while it was held") from error
        generations.append(lease.generation)
        store.release(lease)
    return generations


def follow(store: Store, until: int) -> list[tuple[int, str]]:
    """Read the log as it grows, until seq `until`."""
    seen: list[tuple[int, str]] = []
    deadline = time.monotonic() + DEADLINE_S
    while (after := seen[-1][0] if seen else 0) < until:
        assert time.monotonic() < deadline, "the log did not grow in time"
        if store.wait("events", after, 1.0):
            seen += [(entry.seq, entry.body.decode()) for entry in store.read("events", after=after, limit=7)]
    return seen


def wait_once(store: Store) -> bool:
    """Say that one waits, then wait for the first entry."""
    store.put("waiter", "ready", {})
    return store.wait("events", 0, DEADLINE_S)


# The checks, each for threads and for processes


def _count_up(store: Store, workers: Executor) -> None:
    with workers:
        for job in [workers.submit(increment, store, TURNS) for _ in range(WORKERS)]:
            job.result(DEADLINE_S)
    document = store.get("counter", "n")
    assert document is not None
    assert document.value == {"n": WORKERS * TURNS}
    assert document.revision == WORKERS * TURNS


def _append(store: Store, workers: Executor) -> None:
    with workers:
        jobs = [workers.submit(append_many, store, f"w{n}", TURNS) for n in range(WORKERS)]
        written = [job.result(DEADLINE_S) for job in jobs]
    assert all(seqs == sorted(seqs) for seqs in written)
    assert sorted(chain.from_iterable(written)) == list(range(1, WORKERS * TURNS + 1))
    kept = store.read("events")
    assert [entry.seq for entry in kept] == list(range(1, WORKERS * TURNS + 1))
    for n, seqs in enumerate(written):
        bodies = {entry.seq: entry.body.decode() for entry in kept}
        assert [bodies[seq] for seq in seqs] == [f"w{n}-{turn}" for turn in range(TURNS)]


def _numbers(store: Store, workers: Executor) -> None:
    with workers:
        jobs = [workers.submit(take_numbers, store, TURNS) for _ in range(WORKERS)]
        taken = [job.result(DEADLINE_S) for job in jobs]
    assert sorted(chain.from_iterable(taken)) == list(range(1, WORKERS * TURNS + 1))


def _leases(store: Store, workers: Executor) -> None:
    with workers:
        jobs = [workers.submit(contend, store, f"w{n}", 5) for n in range(2)]
        given = [job.result(DEADLINE_S) for job in jobs]
    assert sorted(chain.from_iterable(given)) == list(range(1, 11))
    assert [int(entry.body) for entry in store.read("fenced")] == list(range(1, 11))


def _follow(store: Store, workers: Executor) -> None:
    with workers:
        reader = workers.submit(follow, store, 2 * TURNS)
        append_many(store, "first", TURNS)
        append_many(store, "second", TURNS)
        seen = reader.result(DEADLINE_S)
    bodies = [f"{name}-{turn}" for name in ("first", "second") for turn in range(TURNS)]
    assert seen == list(enumerate(bodies, start=1))


def _wakes(store: Store, workers: Executor) -> None:
    with workers:
        waiter = workers.submit(wait_once, store)
        eventually(lambda: store.get("waiter", "ready"))
        assert not waiter.done()
        store.append("elsewhere", "a", AT, b"")
        store.append("events", "a", AT, b"")
        assert waiter.result(DEADLINE_S)


def check_compare_and_set_in_threads(open_store: Open) -> None:
    _count_up(open_store(), threads())


def check_compare_and_set_in_processes(open_store: Open) -> None:
    _count_up(open_store(), processes())


def check_seqs_in_threads(open_store: Open) -> None:
    _append(open_store(), threads())


def check_seqs_in_processes(open_store: Open) -> None:
    _append(open_store(), processes())


def check_numbers_in_threads(open_store: Open) -> None:
    _numbers(open_store(), threads())


def check_leases_in_threads(open_store: Open) -> None:
    _leases(open_store(), threads())


def check_leases_in_processes(open_store: Open) -> None:
    _leases(open_store(), processes())


def check_reader_follows_in_threads(open_store: Open) -> None:
    _follow(open_store(), threads())


def check_reader_follows_in_processes(open_store: Open) -> None:
    _follow(open_store(), processes())


def check_wait_wakes_in_threads(open_store: Open) -> None:
    _wakes(open_store(), threads())


def check_wait_wakes_in_processes(open_store: Open) -> None:
    _wakes(open_store(), processes())


def check_reader_behind_a_trim(open_store: Open) -> None:
    store = open_store()
    append_many(store, "a", 20)
    store.trim("events", 5)
    oldest, newest = store.span("events")
    after = 3
    assert after + 1 < oldest, "the reader can tell that it missed some"
    assert [entry.seq for entry in store.read("events", after=after)] == list(range(oldest, newest + 1))


CONCURRENCY_CHECKS: tuple[Check, ...] = (
    check_compare_and_set_in_threads,
    check_compare_and_set_in_processes,
    check_seqs_in_threads,
    check_seqs_in_processes,
    check_numbers_in_threads,
    check_leases_in_threads,
    check_leases_in_processes,
    check_reader_follows_in_threads,
    check_reader_follows_in_processes,
    check_wait_wakes_in_threads,
    check_wait_wakes_in_processes,
    check_reader_behind_a_trim,
)
