"""Delivery: every decision that the diary has written reaches the central platform, in order, at least once.

The diary's log is the outbox: a decision is on its way as soon as it is written, and a cursor in the store says how
far delivery has come. So a kill at any moment loses nothing, and repeats at most the one decision whose delivery had
not been noted, under the same idempotency key. The log keeps `EVENT_LOG_KEEP` decisions: what is trimmed undelivered
is lost, the oldest first, and counted.
"""

import json
import random
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from services.errors import LeaseLost, StoreUnavailable
from services.live.deciding import LOG
from services.live.platform import Answer, Platform
from services.store.protocol import Entry, Lease, Store
from services.telemetry import Metrics

KIND = "delivery"
CURSOR = "cursor"
ASIDE = "delivery_aside"
PAGE = 50
LOOK_S = 1.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """Waits after failures: a random part of `base_s`, 2, 4, 8 … times that, at most `most_s` ("full jitter": Brooker,
    Exponential Backoff and Jitter, 2015). A decision that the platform fails on `aside_after` times in a row is set
    aside and tried again every `aside_s`, so that the others get through.
    """

    base_s: float = 1.0
    most_s: float = 300.0
    aside_after: int = 5
    aside_s: float = 300.0

    def wait_s(self, failures: int, luck: Callable[[], float]) -> float:
        """Seconds after that many failures in a row."""
        return luck() * min(self.most_s, self.base_s * 2.0 ** min(failures, 30))


class Courier:
    """Delivers on a thread of its own; nothing of it is ever waited for by a tick."""

    def __init__(
        self,
        store: Store,
        platform: Platform,
        lease: Lease | None,
        metrics: Metrics,
        pace: Pace | None = None,
        luck: Callable[[], float] = random.random,
    ) -> None:
        """Begins with what is decided from now on, where no courier was here before."""
        self._store = store
        self._platform = platform
        self._lease = lease
        self._metrics = metrics
        self._pace = pace or Pace()
        self._luck = luck
        self._news = threading.Event()
        self._stop = threading.Event()
        self._failures = 0
        self._head: tuple[int, int] = (0, 0)  # (seq, times that the platform failed on it)
        self._error = ""
        if store.get(KIND, CURSOR) is None:
            self._move(store.span(LOG)[1])

    def wake(self) -> None:
        """There is something new."""
        self._news.set()

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop`; a lost lease ends it, for another courier is at work."""
        self._stop = stop
        aside_at = time.monotonic()
        while not stop.is_set():
            try:
                wait_s = self.deliver()
                if not wait_s and time.monotonic() >= aside_at:
                    self.retry_aside()
                    aside_at = time.monotonic() + self._pace.aside_s
            except LeaseLost:
                return
            except StoreUnavailable as error:
                _log.warning("delivery_waits_for_store", detail=error.detail)
                wait_s = LOOK_S
            except Exception:  # noqa: BLE001 - what waits is kept, and the next look tries again
                _log.exception("delivery_failed")
                wait_s = self._pace.most_s
            if wait_s:
                stop.wait(wait_s)
            else:
                self._news.wait(LOOK_S)
                self._news.clear()

    def deliver(self) -> float:
        """Deliver all that is due; 0, or the seconds to wait where the platform did not take it."""
        while entries := self._due():
            for entry in entries:
                if self._stop.is_set():
                    return 0.0
                answer = self._hand_over(entry)
                if answer.outcome == "away" or (answer.outcome == "failed" and not self._given_up(entry)):
                    return self._failed(answer)
                if answer.outcome == "failed":
                    value = {"cluster_id": entry.kind, "detail": answer.detail}
                    self._store.put(ASIDE, f"{entry.seq:020d}", value, fence=self._lease)
                self._failures = 0
                self._move(entry.seq)
        self._metrics.delivery_backlog.set(backlog(self._store))
        return 0.0

    def retry_aside(self) -> None:
        """Try once more what was set aside, oldest first; what is delivered, refused or no longer kept goes."""
        for document in self._store.find(ASIDE):
            seq = int(document.key)
            found = self._store.read(LOG, after=seq - 1, limit=1)
            if found and found[0].seq == seq:
                outcome = self._hand_over(found[0]).outcome
                if outcome in ("failed", "away"):
                    return
            else:
                self._count("lost")
            self._store.delete(ASIDE, document.key, fence=self._lease)

    def _due(self) -> list[Entry]:
        """What follows the cursor; where the log has forgotten some of it, that is said."""
        after = _cursor(self._store)
        oldest = self._store.span(LOG)[0]
        if after + 1 < oldest:
            _log.error("decisions_lost_undelivered", count=oldest - 1 - after, detail="more than EVENT_LOG_KEEP waited")
            self._count("lost", oldest - 1 - after)
            self._move(oldest - 1)
            after = oldest - 1
        return self._store.read(LOG, after=after, limit=PAGE)

    def _hand_over(self, entry: Entry) -> Answer:
        """To the platform; a decision of a cluster with an older one set aside waits behind that."""
        waiting = [one for one in self._store.find(ASIDE) if one.value["cluster_id"] == entry.kind]
        if any(int(one.key) < entry.seq for one in waiting):
            self._head = (entry.seq, self._pace.aside_after)
            return Answer("failed", "an older decision of the cluster waits")
        decision_id, body = message(entry)
        answer = self._platform.deliver(decision_id, body)
        self._count(answer.outcome)
        if answer.outcome == "refused":
            _log.error("decision_refused", decision_id=decision_id, cluster_id=entry.kind, detail=answer.detail)
        return answer

    def _given_up(self, entry: Entry) -> bool:
        """Whether the platform has failed on this one so often that the others go first."""
        seq, times = self._head
        self._head = (entry.seq, times + 1 if seq == entry.seq else 1)
        return self._head[1] >= self._pace.aside_after

    def _failed(self, answer: Answer) -> float:
        wait_s = max(self._pace.wait_s(self._failures, self._luck), answer.retry_after_s)
        self._failures += 1
        self._metrics.delivery_backlog.set(backlog(self._store))
        if answer.detail != self._error:
            _log.warning("decisions_not_delivered", outcome=answer.outcome, detail=answer.detail)
            self._move(_cursor(self._store), answer.detail)
        return max(wait_s, 0.001)

    def _move(self, seq: int, error: str = "") -> None:
        self._error = error
        self._store.put(KIND, CURSOR, {"seq": seq, "error": error}, fence=self._lease)

    def _count(self, outcome: str, count: int = 1) -> None:
        self._metrics.deliveries.labels(result=outcome).inc(count)


def message(entry: Entry) -> tuple[str, dict[str, Any]]:
    """The idempotency key and the body of a decision in the diary's log."""
    row = json.loads(zlib.decompress(entry.body))
    decision_id = str(row.get("decision_id", f"seq-{entry.seq}"))  # of an earlier release
    body = {
        "decision_id": decision_id,
        "cluster_id": entry.kind,
        "seq": entry.seq,
        "as_of": row["as_of"],
        "market_id": row["input"]["market_id"],
        "made_by": row["made_by"],
        "decision": row["decision"],
    }
    return decision_id, body


def _cursor(store: Store) -> int:
    found = store.get(KIND, CURSOR)
    return int(found.value["seq"]) if found else store.span(LOG)[1]


def backlog(store: Store) -> int:
    """How many decisions wait to be delivered."""
    return store.span(LOG)[1] - _cursor(store) + len(store.find(ASIDE))


def delivery_state(store: Store) -> str:
    """What readiness says of it, from any process."""
    found = store.get(KIND, CURSOR)
    error = str(found.value["error"]) if found else ""
    return f"{backlog(store)} decisions wait" + (f": {error}" if error else "")
