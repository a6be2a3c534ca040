"""Where the selected engine fails, the last good one decides; selections made elsewhere are taken up."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engines.catalogue import Catalogue, OpenedEngine
from engines.confined_engine import EngineLimits
from engines.contract import Cluster, DecisionOutput
from engines.errors import EngineFailed, EngineNotFound
from engines.host import MISSED_REST_S, EngineHost
from engines.loans import Choice
from engines.uploads import EngineRecord
from tests.unit.engines import engine_inputs as small
from tests.unit.engines.engine_files import HOLDS, engine_file

GIVEN = small.given(Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"), small.node("m", "m5.large"))))
EMPTY = small.given()
# The samples that a selection is tried on have other clusters.
UNLESS_OURS = "if [c.cluster_id for c in given.clusters] != ['c']: return hold_everything(given)"
FAILURES = {
    "raised": ["return 1 / 0"],
    "crashed": ["import os", "os._exit(1)"],
    "timed_out": ["while True: pass"],
    "no_decision": ["return DecisionOutput(as_of=given.as_of, decisions=())"],
    "violation": [
        "out = hold_everything(given)",
        "d = out.decisions[0]",
        "a = d.recommendations[0].model_copy(update={'type': 'rightsize', 'target': Target(region='r',"
        " availability_zone='z', instance_type='t', capacity_type='spot', count=1)})",
        "d = d.model_copy(update={'recommendations': (a, *d.recommendations[1:])})",
        "return out.model_copy(update={'decisions': (d,)})",
    ],
}


class Shelf(Catalogue):
    """A catalogue whose uploads are there without having been checked, and which counts what is open."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, EngineLimits(decide_s=1.0))
        self.open_now: list[str] = []

    def put(self, engine_id: str, *body: str, first: str = UNLESS_OURS) -> str:
        """Keep an engine as if it had passed the checks."""
        name, _, version = engine_id.partition(":")
        text = engine_file(first, *(body or (HOLDS,))).replace(b"DecisionOutput,", b"DecisionOutput, Target,")
        self.uploads.add(
            EngineRecord(
                engine_id=engine_id, class_name="Engine", config_schema={}, config_defaults={}, contract=1,
                sha256=hashlib.sha256(text).hexdigest(), size_bytes=len(text), filename="x.py",
                uploaded_at=datetime(2026, 1, 1, tzinfo=UTC), uploaded_by="me",
                name=name, version=version, description="d", declared_name="x", declared_version="1",
            ),
            text,
        )  # fmt: skip
        return engine_id

    def open(self, engine_id: str) -> OpenedEngine:
        opened = super().open(engine_id)
        self.open_now.append(engine_id)

        def close() -> None:
            opened.close()
            self.open_now.remove(engine_id)

        return OpenedEngine(opened.entry, opened.engine, close, opened.confined, opened.config_model)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def host(shelf: Shelf) -> Iterator[EngineHost]:
    host = EngineHost(shelf)
    yield host
    host.close()
    assert shelf.open_now == []


def by(output: DecisionOutput) -> tuple[str, str | None]:
    """Who decided, and what the selected engine did instead."""
    assert output.made_by is not None
    instead = output.made_by.stands_in_for
    return output.made_by.engine_id, instead.kind if instead else None


@pytest.mark.parametrize("kind", FAILURES)
def test_the_selection_before_decides_where_the_selected_engine_fails(
    shelf: Shelf, host: EngineHost, kind: str
) -> None:
    bad = shelf.put("bad:v1", *FAILURES[kind])
    host.select("on_demand_only", {"valid_minutes": 3}, 1)
    host.select(bad, {}, 2, before=("on_demand_only", {"valid_minutes": 3}))
    output = host.decide(GIVEN)
    assert by(output) == ("on_demand_only", kind)
    assert output.made_by is not None
    assert output.made_by.stands_in_for is not None
    assert output.made_by.stands_in_for.engine_id == bad
    expiry = {a.valid_until - GIVEN.as_of for a in output.decisions[0].recommendations}
    assert {each.total_seconds() for each in expiry} == {180.0}, "with the config that it had"
    host.select("spot_optimizer_v1", {}, 3)
    assert by(host.decide(GIVEN)) == ("spot_optimizer_v1", None)


def test_a_built_in_engine_decides_where_nothing_else_can(shelf: Shelf, host: EngineHost) -> None:
    bad, worse = shelf.put("bad:v1", "return 1 / 0"), shelf.put("worse:v1", "return 1 / 0")
    befores: tuple[Choice | None, ...] = (None, (worse, {}), ("deleted:v1", {}))
    for before in befores:
        host.select(bad, {}, (host.selection.generation if host.selection else 0) + 1, before=before)
        assert by(host.decide(GIVEN)) == ("spot_optimizer_v1", "raised")


def test_one_that_fails_now_and_then_is_asked_again(shelf: Shelf, host: EngineHost) -> None:
    moody = shelf.put("moody:v1", "if len(given.pools) == 0: raise ValueError", HOLDS)
    host.select(moody, {}, 1)
    assert by(host.decide(GIVEN.model_copy(update={"pools": ()}))) == ("spot_optimizer_v1", "raised")
    assert by(host.decide(GIVEN)) == (moody, None)


def test_an_engine_that_cannot_decide_a_sample_is_not_selected(shelf: Shelf, host: EngineHost) -> None:
    never = shelf.put("never:v1", first="raise ValueError")
    host.select("on_demand_only", {}, 1)
    with pytest.raises(EngineFailed):
        host.prepare(never, {}, 2)
    assert by(host.decide(GIVEN)) == ("on_demand_only", None)
    assert shelf.open_now == ["on_demand_only"]


def test_a_selection_made_elsewhere_is_taken_up_and_a_prepared_one_only_swapped(shelf: Shelf, host: EngineHost) -> None:
    mine = shelf.put("mine:v1")
    assert host.take_up(mine, {"depth": 2}, 1) is True
    assert host.take_up(mine, {"depth": 2}, 1) is False
    host.prepare("on_demand_only", {}, 2)
    before = list(shelf.open_now)
    assert host.take_up("on_demand_only", {}, 2) is True
    assert shelf.open_now == [engine for engine in before if engine != mine]


def test_one_that_cannot_be_taken_up_is_tried_again_and_meanwhile_others_decide(shelf: Shelf) -> None:
    now = [0.0]
    host = EngineHost(shelf, clock=lambda: now[0])
    assert host.take_up("mine:v1", {}, 1) is False
    assert by(host.decide(GIVEN)) == ("spot_optimizer_v1", "not_started")
    host.select("on_demand_only", {}, 2)
    assert by(host.decide(GIVEN)) == ("on_demand_only", None)
    assert host.take_up("mine:v1", {}, 3) is False
    assert by(host.decide(GIVEN)) == ("on_demand_only", "not_started")
    shelf.put("mine:v1")
    assert host.take_up("mine:v1", {}, 3) is False, "it rests"
    now[0] += MISSED_REST_S
    assert host.take_up("mine:v1", {}, 3) is True
    assert by(host.decide(GIVEN)) == ("mine:v1", None)
    host.close()
    assert shelf.open_now == []


def test_of_many_threads_one_takes_up(shelf: Shelf, host: EngineHost) -> None:
    mine = shelf.put("mine:v1")
    host.select("on_demand_only", {}, 1)
    with ThreadPoolExecutor(8) as pool:
        took = list(pool.map(lambda _: host.take_up(mine, {}, 2), range(8)))
    assert sum(took) == 1
    assert shelf.open_now == [mine]


def test_swaps_of_uploaded_engines_under_load_fail_no_decision_and_none_decides_once_closed(
    shelf: Shelf, host: EngineHost
) -> None:
    engines = [shelf.put("one:v1"), shelf.put("two:v1"), "on_demand_only"]
    host.select(engines[0], {}, 1)
    stop = threading.Event()
    made: list[tuple[str, str | None]] = []

    def load() -> None:
        while not stop.is_set():
            made.append(by(host.decide(GIVEN)))

    with ThreadPoolExecutor(2) as pool:
        loads = [pool.submit(load) for _ in range(2)]
        for generation in range(2, 22):
            host.select(engines[generation % 3], {}, generation)
            seen = len(made)
            _until(lambda seen=seen: len(made) > seen or any(each.done() for each in loads))  # type: ignore[misc]
        stop.set()
        for each in loads:
            each.result(60)
    assert {kind for _, kind in made} == {None}, "each was made by the selected engine itself"
    assert {engine for engine, _ in made} == set(engines)


def _until(look: Callable[[], Any]) -> None:
    done = threading.Event()
    for _ in range(6000):
        if look():
            return
        done.wait(0.005)
    raise AssertionError("nothing happened")


def test_a_deleted_engine_that_is_selected_says_so(shelf: Shelf, host: EngineHost) -> None:
    with pytest.raises(EngineNotFound):
        host.prepare("gone:v1", {}, 1)
    assert host.selection is None
