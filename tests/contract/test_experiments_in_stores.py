"""Experiments are kept, followed and counted alike in every store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.errors import RevisionConflict
from services.live.experiments.arms import Arms
from services.live.experiments.book import ExperimentBook
from services.live.experiments.counts import Tally, counted
from services.live.experiments.errors import ExperimentEnded, ExperimentNotFound, ExperimentRunning
from services.store.protocol import Store
from services.store.redis import RedisAddress, RedisStore
from services.store.sqlite import SqliteStore
from tests.redis_server import RedisServer
from tests.unit.experiments.experiment_steps import CHALLENGER, CONTROL, Stable, experiment
from tests.unit.live.live_blocks import NOW


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        opened: Store = SqliteStore(tmp_path / "store.sqlite3")
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        opened = RedisStore(RedisAddress(host="127.0.0.1", port=server.port, namespace=tmp_path.name))
    yield opened
    opened.close()


def test_a_task_has_one_experiment_and_an_end_is_for_good(store: Store) -> None:
    book = ExperimentBook(store)
    book.begin(experiment())
    with pytest.raises(ExperimentRunning):
        book.begin(experiment(experiment_id="02"))
    book.begin(experiment(experiment_id="03", task="spot_price"))
    assert {one.experiment_id for one in book.running().values()} == {"01EXPERIMENT", "03"}
    assert book.uses(CHALLENGER) == "01EXPERIMENT"
    assert book.uses("echo:v9") is None
    ended = book.end("01EXPERIMENT", "aborted", "me", NOW, "enough")
    assert (ended.status, ended.reason, ended.history[-1].what) == ("aborted", "enough", "aborted")
    with pytest.raises(ExperimentEnded):
        book.end("01EXPERIMENT", "promoted", "me", NOW, "late")
    book.begin(experiment(experiment_id="02"))
    with pytest.raises(ExperimentEnded):
        book.change("01EXPERIMENT", lambda one: one)
    with pytest.raises(ExperimentNotFound):
        book.get("04")
    assert [one.experiment_id for one in book.list()] == ["03", "02", "01EXPERIMENT"]
    assert ExperimentBook(store).get("01EXPERIMENT") == ended


def test_of_two_changes_at_once_one_is_refused(store: Store) -> None:
    book = ExperimentBook(store)
    book.begin(experiment())

    def overtaken(one: Any) -> Any:
        ExperimentBook(store).end("01EXPERIMENT", "aborted", "another", NOW, "first")
        return one

    with pytest.raises(RevisionConflict):
        book.change("01EXPERIMENT", overtaken)
    assert book.get("01EXPERIMENT").ended_by == "another"


def test_an_end_that_a_crash_cut_short_is_not_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    book = ExperimentBook(store)
    book.begin(experiment())
    with monkeypatch.context() as crash:
        crash.setattr(book, "_keep", lambda _one: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            book.end("01EXPERIMENT", "aborted", "me", NOW, "enough")
    after = ExperimentBook(store)
    assert after.get("01EXPERIMENT").status == "aborted"
    after.begin(experiment(experiment_id="02"))
    assert after.get("01EXPERIMENT").status == "aborted"


def test_every_process_follows_counts_and_lets_go(store: Store) -> None:
    stable = Stable(store)
    here, there = Arms(store, stable.slots), Arms(store, stable.slots)
    here.book.begin(experiment())
    there.follow()
    assert there.trial("spot_interruption", CONTROL) is not None
    assert there.trial("spot_interruption", CHALLENGER) is None
    assert there.trial("spot_price", CONTROL) is None
    here.book.end("01EXPERIMENT", "aborted", "me", NOW, "")
    there.follow()
    assert there.trial("spot_interruption", CONTROL) is None
    for arms in (here, there):
        arms.close()


def test_counts_of_processes_add_up(store: Store) -> None:
    for served in (3, 4):
        tally = Tally(store)
        tally.add("01", "control", calls=1, served=served, seconds=0.002)
        tally.flush(["01"])
    found = counted(store, "01")["control"]
    assert (found.calls, found.served, sum(found.times.values())) == (2, 7, 2)
