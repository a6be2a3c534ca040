"""Counts: added up over processes, and percentiles that are never too low."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.live.experiments.counts import ArmCounts, Tally, counted
from services.store.protocol import Store
from services.store.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = SqliteStore(tmp_path / "store.db")
    yield opened
    opened.close()


@given(st.lists(st.floats(1e-5, 10), min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_that_of_the_times_and_at_most_five_percent_more(times: list[float], share: float) -> None:
    counts = ArmCounts()
    for seconds in times:
        counts.took(seconds)
    true = float(np.quantile(times, share, method="inverted_cdf")) * 1e3
    told = counts.percentile_ms(share)
    assert told is not None
    assert true * (1 - 1e-9) <= told <= true * 1.05 * (1 + 1e-9)


def test_there_is_no_percentile_of_nothing() -> None:
    assert ArmCounts().percentile_ms(0.5) is None


def test_processes_are_added_up_and_a_restart_loses_nothing(store: Store) -> None:
    for tally in (Tally(store), Tally(store)):
        tally.add("one", "control", calls=1, served=3, seconds=0.001)
        tally.flush(["one"])
        tally.add("one", "control", calls=1, errors=1, error="it broke")
        tally.add("other", "control", calls=5)
        tally.flush(["one", "other"])
        tally.flush(["one", "other"])
    found = counted(store, "one")["control"]
    assert (found.calls, found.served, found.errors, found.last_error) == (4, 6, 2, "it broke")
    assert sum(found.times.values()) == 2
    assert counted(store, "other")["control"].calls == 10
    assert counted(store, "none") == {}


def test_what_came_later_is_the_difference() -> None:
    early, late = ArmCounts(calls=5, errors=1), ArmCounts(calls=9, errors=4, last_error="again")
    early.took(0.001)
    for _ in range(3):
        late.took(0.001)
    since = late.less(early)
    assert (since.calls, since.errors, sum(since.times.values()), since.last_error) == (4, 3, 2, "again")
    assert ArmCounts.of_row(late.row()) == late
