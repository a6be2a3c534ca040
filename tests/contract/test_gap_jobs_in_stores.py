"""Jobs, shards and pulled stretches are kept alike in every store."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gapfill.errors import JobNotFound
from gapfill.jobs import Job, JobBook, Shard
from gapfill.limits import FillLimits
from gapfill.plan import cut
from gapfill.pulled import PulledBook
from services.store.protocol import Store
from services.store.redis import RedisAddress, RedisStore
from services.store.sqlite import SqliteStore
from tests.redis_server import RedisServer

T0 = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        opened: Store = SqliteStore(tmp_path / "store.sqlite3")
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        opened = RedisStore(RedisAddress(host="127.0.0.1", port=server.port, namespace=tmp_path.name))
    yield opened
    opened.close()


def a_job(task_id: str) -> Job:
    return Job(
        task_id=task_id,
        requested_by="alice",
        created_at=T0,
        regions=("r-1",),
        instance_types=("a", "b"),
        product_descriptions=("Linux/UNIX",),
        trained_until=T0.date(),
        gap_start=T0,
        history_start=T0,
        end=T0 + timedelta(days=30),
    )


def test_a_job_and_its_shards_come_back_as_written(store: Store) -> None:
    book = JobBook(store)
    plans = cut("r-1", ["a", "b"], ["Linux/UNIX"], T0, T0 + timedelta(days=30), FillLimits(types_per_shard=1))
    shards = [Shard(number=n, **plan.model_dump()) for n, plan in enumerate(plans, start=1)]
    job = a_job(book.next_task_id())
    book.plan(job.task_id, shards)
    book.save(job)
    ended = shards[6].model_copy(update={"state": "done", "records": 5, "finished_at": T0})
    book.save_shard(job.task_id, ended)
    assert book.get(job.task_id) == job
    assert book.shards(job.task_id) == [*shards[:6], ended, *shards[7:]]


def test_jobs_are_listed_newest_first_by_number(store: Store) -> None:
    book = JobBook(store)
    for _ in range(12):
        book.save(a_job(book.next_task_id()))
    done = book.get("gap-fill-3").model_copy(update={"status": "completed"})
    book.save(done)
    assert [job.number for job in book.newest(3)] == [12, 11, 10]
    assert [job.number for job in book.unfinished()] == [1, 2, *range(4, 13)]
    with pytest.raises(JobNotFound):
        book.get("gap-fill-13")


def test_pulled_stretches_survive(store: Store) -> None:
    PulledBook(store).add("r-1", ["a"], ["Linux/UNIX"], T0, T0 + timedelta(days=2))
    found = PulledBook(store).missing("r-1", ["a", "b"], "Linux/UNIX", T0, T0 + timedelta(days=3))
    assert sorted(found.values()) == [["a"], ["b"]]
