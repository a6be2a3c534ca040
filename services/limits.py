"""Limits kept in memory: how fast a key may ask, how often an address may fail to sign in."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from services.errors import TooManyRequests

Clock = Callable[[], float]
V = TypeVar("V")

MAX_NAMES = 10_000  # more names than this are forgotten, oldest use first, so that nobody can fill the memory


class Rate:
    """A token bucket per name: `per_minute` a minute, and at most `burst` at once (default: ten seconds' worth).

    `per_minute` 0 is no limit. Safe in threads.
    """

    def __init__(self, per_minute: int, burst: int | None = None, clock: Clock = time.monotonic) -> None:
        self._per_s = per_minute / 60
        self._burst = float(burst if burst is not None else max(1, per_minute // 6))
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name → (tokens, when)

    def spend(self, name: str, tokens: float = 1) -> None:
        """Take from the bucket of `name`; raises `TooManyRequests` when it has too little."""
        missing = self._take(name, tokens)
        if missing > 0:
            raise TooManyRequests(math.ceil(missing / self._per_s * 10) / 10)

    def try_spend(self, name: str, tokens: float = 1) -> bool:
        """As `spend`, but says whether it could."""
        return self._take(name, tokens) <= 0

    def _take(self, name: str, tokens: float) -> float:
        """How many tokens are missing; 0 when they were there and were taken."""
        if self._per_s == 0:
            return 0
        now = self._clock()
        with self._lock:
            left, when = self._buckets.get(name, (self._burst, now))
            left = min(self._burst, left + (now - when) * self._per_s)
            missing = max(0.0, tokens - left)
            self._buckets[name] = (left if missing else left - tokens, now)
            _forget_oldest(self._buckets, name)
        return missing


class FailedSignIns:
    """Counts failures by address; after `limit` of them within `window_s` the address has to wait."""

    def __init__(self, limit: int = 10, window_s: float = 300, clock: Clock = time.monotonic) -> None:
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raises `TooManyRequests` while `address` has to wait; ask before looking at its credentials."""
        if address not in self._failures:  # nearly always, so without the lock
            return
        with self._lock:
            recent = self._recent(address)
            if len(recent) >= self._limit:
                raise TooManyRequests(math.ceil(recent[-self._limit] + self._window_s - self._clock()))

    def failed(self, address: str) -> None:
        """Count one failure."""
        with self._lock:
            self._failures[address] = [*self._recent(address), self._clock()][-self._limit :]
            _forget_oldest(self._failures, address)

    def succeeded(self, address: str) -> None:
        """Forget the failures of `address`."""
        if address in self._failures:
            with self._lock:
                self._failures.pop(address, None)

    def _recent(self, address: str) -> list[float]:
        since = self._clock() - self._window_s
        return [at for at in self._failures.get(address, ()) if at > since]


def _forget_oldest(table: OrderedDict[str, V], used: str) -> None:
    table.move_to_end(used)
    while len(table) > MAX_NAMES:
        table.popitem(last=False)
