"""Gaps, windows, shards, requests, and what has been pulled before."""

import itertools
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapfill.backtest import whole_hours
from gapfill.errors import JobNotFound
from gapfill.jobs import Job, JobBook, JobError, Shard, number_of
from gapfill.limits import FillLimits
from gapfill.plan import cut, gap_start, trained_until_of, unavailable, windows
from gapfill.pulled import PulledBook, merged
from services.store.sqlite import SqliteStore

T0 = datetime(2026, 1, 5, tzinfo=UTC)


def hours(h: float) -> datetime:
    return T0 + timedelta(hours=h)


def test_a_model_knows_data_to_the_end_of_its_day() -> None:
    assert gap_start(date(2025, 10, 31)) == datetime(2025, 11, 1, tzinfo=UTC)
    assert trained_until_of(gap_start(date(2025, 10, 31))) == date(2025, 10, 31)


def test_only_what_the_market_lost_is_unavailable() -> None:
    assert unavailable(hours(5), hours(5)) is None
    lost = unavailable(hours(0), hours(48))
    assert lost is not None
    assert lost.days == 2


@given(st.integers(1, 400), st.integers(1, 40), st.integers(1, 10), st.integers(1, 12))
def test_shards_cover_each_type_and_instant_once(length: int, types: int, step: int, days: int) -> None:
    names = [f"t{i}.large" for i in range(types)]
    limits = FillLimits(types_per_shard=step, days_per_shard=days)
    shards = cut("r-1", names, ["Linux/UNIX"], T0, hours(length), limits)
    for name in names:
        mine = [(shard.start, shard.end) for shard in shards if name in shard.instance_types]
        assert mine == list(windows(T0, hours(length), limits.span))
        assert mine[0][0] == T0
        assert mine[-1][1] == hours(length)
        assert all(one[1] == two[0] for one, two in itertools.pairwise(mine))
    assert sum(len(shard.instance_types) for shard in shards if shard.first) == types
    assert max(len(shard.instance_types) for shard in shards) <= step


def test_whole_hours_include_both_ends() -> None:
    assert whole_hours(hours(0), hours(2))["as_of"].to_list() == [hours(0), hours(1), hours(2)]
    assert whole_hours(hours(0.5), hours(2.9))["as_of"].to_list() == [hours(1), hours(2)]
    assert whole_hours(hours(0.5), hours(0.9)).is_empty()


@pytest.fixture
def pulled(tmp_path: Path) -> PulledBook:
    return PulledBook(SqliteStore(tmp_path / "store.sqlite3"))


def test_what_was_pulled_is_not_missing_but_for_the_newest_hour(pulled: PulledBook) -> None:
    assert pulled.missing("r-1", ["a", "b"], "P", hours(0), hours(10)) == {(hours(0), hours(10)): ["a", "b"]}
    pulled.add("r-1", ["a"], ["P"], hours(0), hours(4))
    pulled.add("r-1", ["a"], ["P"], hours(4), hours(6))
    assert pulled.missing("r-1", ["a", "b"], "P", hours(0), hours(10)) == {
        (hours(0), hours(10)): ["b"],
        (hours(5), hours(10)): ["a"],
    }
    assert pulled.missing("r-2", ["a"], "P", hours(0), hours(10)) == {(hours(0), hours(10)): ["a"]}


def test_a_hole_between_two_pulls_is_missing(pulled: PulledBook) -> None:
    pulled.add("r-1", ["a"], ["P"], hours(0), hours(10))
    pulled.add("r-1", ["a"], ["P"], hours(20), hours(30))
    assert list(pulled.missing("r-1", ["a"], "P", hours(0), hours(30))) == [
        (hours(9), hours(20)),
        (hours(29), hours(30)),
    ]
    assert list(pulled.missing("r-1", ["a"], "P", hours(-5), hours(5))) == [(hours(-5), hours(0))]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=12))
def test_merging_keeps_every_instant(pairs: list[tuple[int, int]]) -> None:
    intervals = [(hours(min(pair)), hours(max(pair))) for pair in pairs]
    result = merged(intervals)
    inside = {h for h in range(50) if any(since <= hours(h) < until for since, until in intervals)}
    assert {h for h in range(50) if any(since <= hours(h) < until for since, until in result)} == inside
    assert all(one[1] < two[0] for one, two in itertools.pairwise(result))


@pytest.mark.parametrize("text", ["", "gap-fill-", "gap-fill-1x", "gap-fill-²", "fill-1", "gap-fill-" + "9" * 13])
def test_other_texts_are_no_task_ids(text: str) -> None:
    with pytest.raises(JobNotFound):
        number_of(text)


def test_shards_are_as_planned_until_they_ended(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite3")
    book = JobBook(store)
    plans = cut("r-1", ["a", "b"], ["P"], T0, hours(10), FillLimits(types_per_shard=1))
    shards = [Shard(number=n, **plan.model_dump()) for n, plan in enumerate(plans, start=1)]
    book.plan("gap-fill-3", shards)
    assert book.shards("gap-fill-3") == shards
    ended = shards[1].model_copy(update={"state": "done", "records": 7})
    book.save_shard("gap-fill-3", ended)
    assert book.shards("gap-fill-3") == [shards[0], ended]
    assert book.shards("gap-fill-4") == []
    store.close()


def test_a_job_notes_each_error_once() -> None:
    error = JobError(region="r-1", shard=1, kind="MarketUnavailable", detail="throttled")
    job_errors = [error, error.model_copy(update={"shard": 2}), error.model_copy(update={"region": "r-2"})]
    job = _job()
    for one in job_errors:
        job.note(one)
    assert [one.region for one in job.errors] == ["r-1", "r-2"]


def _job() -> Job:
    return Job(
        task_id="gap-fill-1",
        requested_by="t",
        created_at=T0,
        regions=("r-1",),
        instance_types=("a",),
        product_descriptions=("P",),
        trained_until=T0.date(),
        gap_start=T0,
        history_start=T0,
        end=T0,
    )
