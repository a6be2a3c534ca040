"""What every store must do: a list of checks that runs against each implementation.

A check takes a function that opens the same, at first empty, store again and again, and raises AssertionError.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

from services.errors import LeaseLost, RevisionConflict, StoreUnavailable
from services.store.checks_shared import CONCURRENCY_CHECKS, Check, Open, eventually
from services.store.protocol import Lease, Store

E = TypeVar("E", bound=Exception)

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, UTC)


def check_document_round_trip(open_store: Open) -> None:
    store = open_store()
    value = {"text": "Zürich 東京", "n": 2**53, "x": 0.1, "none": None, "list": [1, {"a": True}]}
    assert store.get("job", "a") is None
    assert store.put("job", "a", value) == 1
    document = store.get("job", "a")
    assert document is not None
    assert (document.kind, document.key, document.value, document.revision) == ("job", "a", value, 1)
    assert store.get("other", "a") is None


def check_revisions_grow(open_store: Open) -> None:
    store = open_store()
    assert [store.put("job", "a", {"n": n}) for n in range(3)] == [1, 2, 3]
    document = store.get("job", "a")
    assert document is not None
    assert document.value == {"n": 2}
    assert document.revision == 3


def check_compare_and_set(open_store: Open) -> None:
    store = open_store()
    assert store.put("pointer", "p", {"v": 1}, expected=0) == 1
    conflict = raised(RevisionConflict, lambda: store.put("pointer", "p", {"v": 2}, expected=0))
    assert (conflict.kind, conflict.key, conflict.expected, conflict.found) == ("pointer", "p", 0, 1)
    assert store.put("pointer", "p", {"v": 2}, expected=1) == 2
    assert raised(RevisionConflict, lambda: store.put("pointer", "q", {}, expected=4)).found == 0
    assert store.get("pointer", "q") is None


def check_delete(open_store: Open) -> None:
    store = open_store()
    store.put("job", "a", {})
    store.put("job", "a", {})
    raised(RevisionConflict, lambda: store.delete("job", "a", expected=1))
    assert store.get("job", "a") is not None
    assert store.delete("job", "a", expected=2)
    assert not store.delete("job", "a")
    assert not store.delete("job", "a", expected=0)
    assert store.find("job") == []
    assert store.put("job", "a", {}) == 1


def check_find(open_store: Open) -> None:
    store = open_store()
    for key in ("b/2", "a/1", "b/10", "b/1", "c", "é"):
        store.put("job", key, {"key": key})
    store.put("other", "b/3", {})
    assert keys(store, "job") == ["a/1", "b/1", "b/10", "b/2", "c", "é"]
    assert keys(store, "job", prefix="b/") == ["b/1", "b/10", "b/2"]
    assert keys(store, "job", prefix="b/1") == ["b/1", "b/10"]
    assert keys(store, "job", newest_first=True, limit=2) == ["é", "c"]
    assert keys(store, "job", prefix="b/", newest_first=True, limit=2) == ["b/2", "b/10"]
    assert keys(store, "job", limit=0) == []
    assert keys(store, "job", prefix="x") == []
    assert [d.value for d in store.find("job", prefix="a")] == [{"key": "a/1"}]


def check_odd_names(open_store: Open) -> None:
    store = open_store()
    odd = "a%b_c*d[e]?:{f}\n'\""
    store.put(odd, odd, {"v": 1})
    store.put(odd, "axbxcxd", {"v": 2})
    assert keys(store, odd, prefix="a%") == [odd]
    assert store.append(odd, odd, AT, b"x").seq == 1
    assert [e.kind for e in store.read(odd, kinds=[odd])] == [odd]


def check_numbers(open_store: Open) -> None:
    store = open_store()
    assert [store.next_number("fill") for _ in range(3)] == [1, 2, 3]
    assert store.next_number("other") == 1
    assert open_store().next_number("fill") == 4


def check_log_round_trip(open_store: Open) -> None:
    store = open_store()
    body = bytes(range(256)) * 2000
    entry = store.append("events", "prediction", AT.astimezone(timezone(timedelta(hours=9))), body)
    assert (entry.seq, entry.kind, entry.at, entry.body) == (1, "prediction", AT, body)
    assert entry.at.utcoffset() == timedelta(0)
    assert store.read("events") == [entry]
    assert store.read("other") == []
    assert store.append("events", "empty", AT, b"").seq == 2
    assert store.read("events", after=1)[0].body == b""


def check_naive_instant_is_refused(open_store: Open) -> None:
    store = open_store()
    raised(ValueError, lambda: store.append("events", "k", AT.replace(tzinfo=None), b""))
    assert store.span("events") == (1, 0)


def check_log_reading(open_store: Open) -> None:
    store = open_store()
    for n in range(9):
        store.append("events", "abc"[n % 3], AT, b"%d" % n)
    assert [e.seq for e in store.read("events", after=3, limit=4)] == [4, 5, 6, 7]
    assert [e.seq for e in store.read("events", kinds=["a", "c"], after=1)] == [3, 4, 6, 7, 9]
    assert [e.seq for e in store.read("events", kinds=["b"], limit=2)] == [2, 5]
    assert [e.body for e in store.read("events", after=8)] == [b"8"]
    assert store.read("events", after=9) == []
    assert store.read("events", kinds=["z"]) == []
    assert store.read("events", limit=0) == []


def check_latest(open_store: Open) -> None:
    store = open_store()
    assert store.latest("events", "a") is None
    for kind in "aabab":
        store.append("events", kind, AT, b"")
    newest = {kind: store.latest("events", kind) for kind in "ab"}
    assert {kind: entry and entry.seq for kind, entry in newest.items()} == {"a": 4, "b": 5}
    store.trim("events", 1)
    assert store.latest("events", "a") is None


def check_span_and_trim(open_store: Open) -> None:
    store = open_store()
    assert store.span("events") == (1, 0)
    assert store.trim("events", 5) == 0
    for _ in range(10):
        store.append("events", "a", AT, b"x")
    store.append("other", "a", AT, b"x")
    assert store.span("events") == (1, 10)
    assert store.trim("events", 4) == 6
    assert store.trim("events", 4) == 0
    assert store.span("events") == (7, 10)
    assert [e.seq for e in store.read("events", after=2)] == [7, 8, 9, 10]
    assert store.trim("events", 0) == 4
    assert store.span("events") == (11, 10)
    assert store.append("events", "a", AT, b"x").seq == 11
    assert store.span("events") == (11, 11)
    assert store.span("other") == (1, 1)


def check_survives_reopening(open_store: Open) -> None:
    first = open_store()
    first.put("job", "a", {"n": 1})
    for _ in range(5):
        first.append("events", "a", AT, b"x")
    first.trim("events", 0)
    lease = first.acquire("writer", "me", 60)
    first.close()
    store = open_store()
    assert [d.value for d in store.find("job")] == [{"n": 1}]
    assert store.append("events", "a", AT, b"x").seq == 6
    assert lease is not None
    assert store.generation("writer") == lease.generation == 1
    assert store.acquire("writer", "you", 60) is None


def check_wait_at_once(open_store: Open) -> None:
    store = open_store()
    assert not store.wait("events", 0, 0.02)
    store.append("events", "a", AT, b"x")
    assert store.wait("events", 0, 0)
    assert store.wait("events", 0, 30)
    assert not store.wait("events", 1, 0.02)
    assert not store.wait("other", 0, 0.02)
    store.trim("events", 0)
    assert not store.wait("events", 0, 0.02)


def check_lease_excludes(open_store: Open) -> None:
    store = open_store()
    assert store.generation("writer") == 0
    mine = held(store, "writer", "me")
    assert (mine.name, mine.holder, mine.generation) == ("writer", "me", 1)
    assert store.acquire("writer", "you", 60) is None
    again = held(store, "writer", "me")
    assert again.generation == 2
    assert raised(LeaseLost, lambda: store.renew(mine, 60)).current == 2
    store.renew(again, 60)
    assert held(store, "other", "you").generation == 1


def check_lease_release(open_store: Open) -> None:
    store = open_store()
    mine = held(store, "writer", "me")
    store.release(mine)
    raised(LeaseLost, lambda: store.renew(mine, 60))
    yours = held(store, "writer", "you")
    assert yours.generation == 2
    store.release(mine)
    assert store.acquire("writer", "third", 60) is None
    assert store.generation("writer") == 2


def check_lease_expires(open_store: Open) -> None:
    store = open_store()
    mine = held(store, "writer", "me", ttl_s=0.05)
    yours = eventually(lambda: store.acquire("writer", "you", 60))
    assert yours.generation == 2
    assert raised(LeaseLost, lambda: store.renew(mine, 60)).held == 1
    store.release(mine)
    assert store.acquire("writer", "third", 60) is None


def check_fence(open_store: Open) -> None:
    store = open_store()
    stale = held(store, "writer", "me")
    store.put("job", "a", {"by": "me"}, fence=stale)
    store.append("events", "a", AT, b"x", fence=stale)
    fresh = held(store, "writer", "me")
    lost = raised(LeaseLost, lambda: store.put("job", "a", {"by": "stale"}, fence=stale))
    assert (lost.name, lost.held, lost.current) == ("writer", 1, 2)
    raised(LeaseLost, lambda: store.delete("job", "a", fence=stale))
    raised(LeaseLost, lambda: store.append("events", "a", AT, b"x", fence=stale))
    assert store.span("events") == (1, 1)
    assert [d.value for d in store.find("job")] == [{"by": "me"}]
    assert store.append("events", "a", AT, b"x", fence=fresh).seq == 2
    assert store.put("job", "a", {}, fence=fresh, expected=1) == 2
    assert store.delete("job", "a", fence=fresh)


def check_closed_is_refused(open_store: Open) -> None:
    store = open_store()
    store.close()
    store.close()
    raised(StoreUnavailable, lambda: store.get("job", "a"))
    raised(StoreUnavailable, lambda: store.put("job", "a", {}))


def keys(store: Store, kind: str, **how: Any) -> list[str]:
    """The keys that `find` returns."""
    return [document.key for document in store.find(kind, **how)]


def held(store: Store, name: str, holder: str, ttl_s: float = 60) -> Lease:
    """A lease that must be free."""
    lease = store.acquire(name, holder, ttl_s)
    assert lease is not None
    return lease


def raised(expected: type[E], call: Callable[[], object]) -> E:
    """What `call` raises, which must be an `expected`."""
    try:
        call()
    except expected as error:
        return error
    raise AssertionError(f"{expected.__name__} was not raised")


CHECKS: tuple[Check, ...] = (
    check_document_round_trip,
    check_revisions_grow,
    check_compare_and_set,
    check_delete,
    check_find,
    check_odd_names,
    check_numbers,
    check_log_round_trip,
    check_naive_instant_is_refused,
    check_log_reading,
    check_latest,
    check_span_and_trim,
    check_survives_reopening,
    check_wait_at_once,
    check_lease_excludes,
    check_lease_release,
    check_lease_expires,
    check_fence,
    check_closed_is_refused,
    *CONCURRENCY_CHECKS,
)
