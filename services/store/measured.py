"""A store whose calls are timed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from services.store.protocol import Document, Entry, Lease, Store
from services.telemetry import Metrics


class MeasuredStore:
    """`store`, with the time of each call but `wait` in `metrics.store_seconds`.

    A pickled copy is the store itself: what it does elsewhere is measured there, or not at all.
    """

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self.store = store
        self._seconds = metrics.store_seconds

    def __reduce__(self) -> tuple[Callable[[Store], Store], tuple[Store]]:
        return (_itself, (self.store,))

    @contextmanager
    def _timed(self, call: str) -> Iterator[Store]:
        with self._seconds.labels(call).time():
            yield self.store

    def get(self, kind: str, key: str) -> Document | None:
        with self._timed("get") as store:
            return store.get(kind, key)

    def find(self, kind: str, *, prefix: str = "", limit: int = 1000, newest_first: bool = False) -> list[Document]:
        with self._timed("find") as store:
            return store.find(kind, prefix=prefix, limit=limit, newest_first=newest_first)

    def put(
        self,
        kind: str,
        key: str,
        value: Mapping[str, Any],
        *,
        expected: int | None = None,
        fence: Lease | None = None,
    ) -> int:
        with self._timed("put") as store:
            return store.put(kind, key, value, expected=expected, fence=fence)

    def delete(self, kind: str, key: str, *, expected: int | None = None, fence: Lease | None = None) -> bool:
        with self._timed("delete") as store:
            return store.delete(kind, key, expected=expected, fence=fence)

    def next_number(self, name: str) -> int:
        with self._timed("next_number") as store:
            return store.next_number(name)

    def append(self, log: str, kind: str, at: datetime, body: bytes, *, fence: Lease | None = None) -> Entry:
        with self._timed("append") as store:
            return store.append(log, kind, at, body, fence=fence)

    def read(self, log: str, *, after: int = 0, kinds: Sequence[str] = (), limit: int = 1000) -> list[Entry]:
        with self._timed("read") as store:
            return store.read(log, after=after, kinds=kinds, limit=limit)

    def latest(self, log: str, kind: str) -> Entry | None:
        with self._timed("latest") as store:
            return store.latest(log, kind)

    def span(self, log: str) -> tuple[int, int]:
        with self._timed("span") as store:
            return store.span(log)

    def trim(self, log: str, keep: int) -> int:
        with self._timed("trim") as store:
            return store.trim(log, keep)

    def wait(self, log: str, after: int, timeout_s: float) -> bool:
        return self.store.wait(log, after, timeout_s)

    def acquire(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        with self._timed("acquire") as store:
            return store.acquire(name, holder, ttl_s)

    def renew(self, lease: Lease, ttl_s: float) -> None:
        with self._timed("renew") as store:
            store.renew(lease, ttl_s)

    def release(self, lease: Lease) -> None:
        with self._timed("release") as store:
            store.release(lease)

    def generation(self, name: str) -> int:
        with self._timed("generation") as store:
            return store.generation(name)

    def close(self) -> None:
        self.store.close()


def _itself(store: Store) -> Store:
    return store
