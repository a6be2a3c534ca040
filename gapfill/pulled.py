"""Which stretches of time have been pulled, per region, product and instance type: what a fill need not pull again.

The history alone cannot say: a pool without a new point may be unchanged, or unasked.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from gapfill.history import no_fence
from gapfill.jobs import Documents

Interval = tuple[datetime, datetime]

_KIND = "gapfill_pulled"
# The market may publish a point some time after its instant, so the newest hour is pulled again.
_OVERLAP = timedelta(hours=1)


class PulledBook:
    """Pulled intervals in the store, one document per region. Only the gap filler writes it."""

    def __init__(self, documents: Documents, fence: Callable[[], None] = no_fence) -> None:
        """`fence` as for `JobBook`."""
        self._documents = documents
        self._fence = fence
        self._lock = threading.Lock()

    def add(
        self, region: str, instance_types: Iterable[str], products: Sequence[str], start: datetime, end: datetime
    ) -> None:
        """Note that [start, end) has been pulled for these types and products of the region."""
        with self._lock:
            known = self._read(region)
            for instance_type in instance_types:
                for product in products:
                    known[_key(instance_type, product)].append((start, end))
            value = {
                key: [[since.isoformat(), until.isoformat()] for since, until in merged(intervals)]
                for key, intervals in known.items()
            }
            self._fence()
            self._documents.put(_KIND, region, value)

    def missing(
        self, region: str, instance_types: Sequence[str], product: str, start: datetime, end: datetime
    ) -> dict[Interval, list[str]]:
        """Stretches of [start, end) not pulled yet → the types they are missing for."""
        known = self._read(region)
        found: defaultdict[Interval, list[str]] = defaultdict(list)
        for instance_type in instance_types:
            for interval in _less(start, end, merged(known.get(_key(instance_type, product), []))):
                found[interval].append(instance_type)
        return dict(sorted(found.items()))

    def known_until(self, region: str) -> dict[tuple[str, str], datetime]:
        """(instance type, product) → the end of the newest stretch pulled of it."""
        known = {tuple(key.split("|", 1)): merged(intervals) for key, intervals in self._read(region).items()}
        return {(key[0], key[1]): intervals[-1][1] for key, intervals in known.items() if intervals}

    def _read(self, region: str) -> defaultdict[str, list[Interval]]:
        document = self._documents.get(_KIND, region)
        found: defaultdict[str, list[Interval]] = defaultdict(list)
        for key, intervals in (document.value if document else {}).items():
            found[key] = [(datetime.fromisoformat(since), datetime.fromisoformat(until)) for since, until in intervals]
        return found


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The same stretches, sorted, those that touch made one."""
    result: list[Interval] = []
    for since, until in sorted(intervals):
        if result and since <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], until))
        elif since < until:
            result.append((since, until))
    return result


def _less(start: datetime, end: datetime, known: list[Interval]) -> list[Interval]:
    left = []
    for since, until in known:
        if since > start:
            left.append((start, min(since, end)))
        start = max(start, until - _OVERLAP) if until > start else start
        if start >= end:
            break
    left.append((start, end))
    return [(since, until) for since, until in left if since < until]


def _key(instance_type: str, product: str) -> str:
    return f"{instance_type}|{product}"
