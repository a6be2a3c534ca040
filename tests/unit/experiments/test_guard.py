"""The guard: it takes out what errs, slows or loses skill, and nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from services.live.experiments.counts import Tally
from services.live.experiments.experiment import Experiment, GuardRule, Kind
from services.live.experiments.guard import RECENT_S, SKILL_EVERY_S, Guard
from services.store.protocol import Store
from services.store.sqlite import SqliteStore
from tests.unit.experiments.experiment_steps import CHALLENGER, CONTROL, experiment, outcomes


class Known:
    """`Outcomes` that are set by the test."""

    def __init__(self) -> None:
        self.found = outcomes("control", CONTROL, skill=0.5).clear()
        self.asked = 0

    def rows(self, experiment: Experiment, now: datetime) -> pl.DataFrame:
        self.asked += 1
        return self.found


class Post:
    """A guard, the counts it sees, and the clock it goes by."""

    def __init__(self, store: Store) -> None:
        self.now = 0.0
        self.known = Known()
        self.tally = Tally(store)
        self.guard = Guard(store, self.known, "me", lambda: self.now)

    def count(self, arm: str, calls: int, errors: int = 0, seconds: float = 0.001) -> None:
        for _ in range(calls - errors):
            self.tally.add("01EXPERIMENT", arm, calls=1, seconds=seconds)
        self.tally.add("01EXPERIMENT", arm, calls=errors, errors=errors, error="it broke" if errors else "")
        self.tally.flush(["01EXPERIMENT"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = SqliteStore(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def post(store: Store) -> Post:
    return Post(store)


def guarded(kind: Kind = "ab", guard: GuardRule | None = GuardRule()) -> Experiment:  # noqa: B008 - frozen
    return experiment(kind=kind, guard=guard, started_at=datetime.now(UTC))


def test_nothing_is_said_of_what_is_well_or_not_guarded(post: Post) -> None:
    post.count("control", 500)
    post.count("challenger", 500, errors=8)
    assert post.guard.verdict(guarded()) == "", "1.6 % of 500 may be 2 %"
    post.count("challenger", 500, errors=500)
    assert post.guard.verdict(guarded(guard=None)) == ""


def test_a_challenger_that_errs_is_named_with_its_last_error(post: Post) -> None:
    post.count("challenger", 199, errors=199)
    assert post.guard.verdict(guarded()) == "", "too few to say"
    post.count("challenger", 1)
    assert (
        post.guard.verdict(guarded()) == f"{CHALLENGER} errs: 199 of its last 200 calls failed, the last with it broke"
    )


def test_only_the_last_minutes_count(post: Post) -> None:
    post.count("challenger", 100_000 // 100, errors=0)
    assert post.guard.verdict(guarded()) == ""
    post.now = RECENT_S + 1
    post.count("challenger", 200, errors=20)
    assert "20 of its last 200" in post.guard.verdict(guarded())
    post.now = 2 * RECENT_S + 2
    post.count("challenger", 200)
    assert post.guard.verdict(guarded()) == ""


def test_a_guard_that_takes_over_does_not_judge_the_past(post: Post) -> None:
    post.count("challenger", 1000, errors=1000)
    old = experiment(guard=GuardRule())
    assert post.guard.verdict(old) == ""
    post.now = 10.0
    post.count("challenger", 300, errors=300)
    assert "300 of its last 300" in post.guard.verdict(old)


@pytest.mark.parametrize(("usual", "its", "trips"), [(0.004, 0.1, True), (0.0001, 0.009, False), (0.03, 0.1, False)])
def test_a_slow_challenger(post: Post, usual: float, its: float, *, trips: bool) -> None:
    post.count("control", 200, seconds=usual)
    post.count("challenger", 200, seconds=its)
    assert ("is slow" in post.guard.verdict(guarded())) is trips
    assert post.guard.verdict(guarded("shadow")) == "", "nobody waits for a shadow"


def test_a_challenger_that_surely_loses_skill(post: Post) -> None:
    mine = outcomes("control", CONTROL, skill=0.9)
    post.known.found = pl.concat([mine, outcomes("challenger", CHALLENGER, skill=0.85, seed=2, first=40)])
    assert post.guard.verdict(guarded()) == ""
    post.known.found = pl.concat([mine, outcomes("challenger", CHALLENGER, skill=0.1, seed=2, first=40)])
    assert post.guard.verdict(guarded()) == "", "outcomes are not looked up each second"
    assert post.known.asked == 1
    post.now = SKILL_EVERY_S
    assert post.guard.verdict(guarded()).startswith(f"{CHALLENGER} loses skill: -")
    post.now = 2 * SKILL_EVERY_S
    assert post.guard.verdict(guarded(guard=GuardRule(max_skill_loss=None))) == ""


def test_one_process_is_on_duty(store: Store) -> None:
    one, other = (Guard(store, Known(), name) for name in ("one", "other"))
    assert one.on_duty()
    assert not other.on_duty()
    assert one.on_duty()
    one.off_duty()
    assert other.on_duty()
    assert not one.on_duty()
