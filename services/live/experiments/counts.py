"""What each arm did: answers, failures and times, counted in every process and added up in the store."""

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ulid import ULID

from services.store.protocol import Store

KIND = "experiment_counts"
MOST_PROCESSES = 1000
# Times fall into classes whose bounds grow by 5 %, from a microsecond on: a percentile is at most that much too high.
SHORTEST_S = 1e-6
GROWTH = math.log(1.05)
NAMES = ("calls", "errors", "served", "fell_back", "shadow", "ticked", "dropped")


@dataclass
class ArmCounts:
    """One arm's figures; all of them only grow.

    `calls`: times that it was asked, `errors`: those of them that failed; `served`: rows that it answered requests for;
    `fell_back`: rows that the control answered in its place, as it failed or was not loaded yet; `shadow`: rows of
    requests and ticks scored of which nobody was told; `ticked`: rows of live ticks that it answered for; `dropped`:
    rows that its shadow had no time for. `times` counts how long its calls for single requests took, by class.
    """

    calls: int = 0
    errors: int = 0
    served: int = 0
    fell_back: int = 0
    shadow: int = 0
    ticked: int = 0
    dropped: int = 0
    times: Counter[int] = field(default_factory=Counter)
    last_error: str = ""

    def took(self, seconds: float) -> None:
        """One call that ended well."""
        self.times[max(0, math.ceil(math.log(max(seconds, SHORTEST_S) / SHORTEST_S) / GROWTH))] += 1

    def percentile_ms(self, share: float) -> float | None:
        """The time within which this share of the calls ended; None without any."""
        return percentile_ms(self.times, share)

    def less(self, earlier: "ArmCounts") -> "ArmCounts":
        """What came after `earlier`."""
        numbers = {name: max(0, getattr(self, name) - getattr(earlier, name)) for name in NAMES}
        return ArmCounts(**numbers, times=self.times - earlier.times, last_error=self.last_error)

    def row(self) -> dict[str, Any]:
        """The JSON form."""
        times = {str(place): count for place, count in sorted(self.times.items())}
        return {**{name: getattr(self, name) for name in NAMES}, "times": times, "last_error": self.last_error}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "ArmCounts":
        """From `row`."""
        times = Counter({int(place): int(count) for place, count in row["times"].items()})
        return cls(**{name: int(row[name]) for name in NAMES}, times=times, last_error=str(row["last_error"]))


def percentile_ms(times: Mapping[int, int], share: float) -> float | None:
    """Milliseconds; the upper bound of the class in which the share is reached."""
    wanted, seen = math.ceil(share * sum(times.values())), 0
    for place in sorted(times):
        seen += times[place]
        if seen >= wanted > 0:
            return SHORTEST_S * math.exp(place * GROWTH) * 1e3
    return None


class Tally:
    """The counts of this process. Safe to call from any thread; only `flush` does I/O."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._process = str(ULID())
        self._lock = threading.Lock()
        self._counts: defaultdict[str, defaultdict[str, ArmCounts]] = defaultdict(lambda: defaultdict(ArmCounts))
        self._changed: set[str] = set()

    def add(
        self, experiment_id: str, arm: str, *, seconds: float | None = None, error: str = "", **numbers: int
    ) -> None:
        """Add to an arm's figures: a request's call that took `seconds`, the last `error`, and any of `NAMES`."""
        with self._lock:
            counts = self._counts[experiment_id][arm]
            if seconds is not None:
                counts.took(seconds)
            if error:
                counts.last_error = error[:400]
            for name, number in numbers.items():
                setattr(counts, name, getattr(counts, name) + number)
            self._changed.add(experiment_id)

    def flush(self, running: Iterable[str]) -> None:
        """Write what has changed since the last time; what is not running any more is written once more and let go."""
        keep = set(running)
        with self._lock:
            changed, self._changed = self._changed, set()
            rows = {one: {arm: counts.row() for arm, counts in self._counts[one].items()} for one in changed}
            for old in self._counts.keys() - keep - changed:
                del self._counts[old]
        for experiment_id, arms in rows.items():
            try:
                self._store.put(KIND, f"{experiment_id}/{self._process}", arms)
            except BaseException:
                with self._lock:
                    self._changed.add(experiment_id)
                raise


def counted(store: Store, experiment_id: str) -> dict[str, ArmCounts]:
    """Arm → the figures of all processes, as they last wrote them (each second)."""
    total: defaultdict[str, ArmCounts] = defaultdict(ArmCounts)
    for document in store.find(KIND, prefix=f"{experiment_id}/", limit=MOST_PROCESSES):
        for arm, row in document.value.items():
            one, sum_ = ArmCounts.of_row(row), total[arm]
            for name in NAMES:
                setattr(sum_, name, getattr(sum_, name) + getattr(one, name))
            sum_.times += one.times
            sum_.last_error = one.last_error or sum_.last_error
    return dict(total)
