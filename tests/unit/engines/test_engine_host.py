"""The host and the catalogue: selection in two phases, lending, validated answers, and errors that say what to do."""

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import BaseModel

from engines.builtin.on_demand_only import OnDemandOnly
from engines.catalogue import Catalogue, OpenedEngine
from engines.contract import Cluster, DecisionInput, DecisionOutput
from engines.errors import EngineConfigInvalid, EngineFailed, EngineNotFound, EngineNotSelected, SelectionStale
from engines.host import PREPARED_EXPIRES_AFTER_S, EngineHost
from tests.unit.engines import engine_inputs as small

GIVEN = small.given(Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),)))


class Scripted:
    """An engine that answers by a function."""

    name = "scripted"
    version = "1"
    description = "Answers as it is told."
    Config: type[BaseModel] = OnDemandOnly.Config

    def __init__(self, answer: Callable[[DecisionInput], DecisionOutput]) -> None:
        self._answer = answer

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        return self._answer(given)


class ScriptedCatalogue(Catalogue):
    """The built-in catalogue whose engines answer by a function, and which counts what is closed."""

    def __init__(self, answer: Callable[[DecisionInput], DecisionOutput]) -> None:
        super().__init__(Path("unused"))
        self.closed: list[str] = []
        self._answer = answer

    def open(self, engine_id: str) -> OpenedEngine:
        entry = self.get(engine_id)
        return OpenedEngine(entry, Scripted(self._answer), lambda: self.closed.append(engine_id))


@pytest.fixture
def host(tmp_path: Path) -> EngineHost:
    return EngineHost(Catalogue(tmp_path))


def test_the_built_in_engines_have_their_names_as_ids(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    assert [entry.engine_id for entry in catalogue.list()] == ["cheapest_pool", "on_demand_only", "spot_optimizer_v1"]
    assert catalogue.resolve("spot_optimizer_v1").engine_id == "spot_optimizer_v1"


def test_an_unknown_engine_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(EngineNotFound) as caught:
        Catalogue(tmp_path).get("spot_optimiser")
    assert caught.value.nearest == ("spot_optimizer_v1",)


def test_metadata_has_every_schema_and_describes_every_field(tmp_path: Path) -> None:
    found = Catalogue(tmp_path).metadata("spot_optimizer_v1")
    assert found.config_defaults["interruption_cost_node_hours"] == 0.5
    for schema in (found.input_schema, found.output_schema, found.config_schema):
        for part in (schema, *schema.get("$defs", {}).values()):
            assert all("description" in field for field in part.get("properties", {}).values()), part["title"]


def test_a_wrong_config_names_each_field(host: EngineHost) -> None:
    with pytest.raises(EngineConfigInvalid) as caught:
        host.select("spot_optimizer_v1", {"max_pool_share": 2, "unheard_of": 1}, 1)
    assert {path for path, _ in caught.value.problems} == {"max_pool_share", "unheard_of"}
    assert host.selection is None


def test_nothing_decides_before_a_selection(host: EngineHost) -> None:
    with pytest.raises(EngineNotSelected):
        host.decide(GIVEN)


def test_a_decision_says_who_made_it_and_its_ids_follow_from_the_input(host: EngineHost) -> None:
    host.select("spot_optimizer_v1", {"max_pool_share": 1.0}, 4)
    first, second = host.decide(GIVEN), host.decide(GIVEN)
    assert first == second
    assert first.made_by is not None
    assert (first.made_by.engine_id, first.made_by.generation) == ("spot_optimizer_v1", 4)
    ids = {action.action_id for action in first.decisions[0].recommendations}
    assert {i for step in first.decisions[0].execution_plan.steps for i in step.action_ids} == ids
    host.select("spot_optimizer_v1", {"max_pool_share": 0.9}, 5)
    assert not ids & {action.action_id for action in host.decide(GIVEN).decisions[0].recommendations}


def test_the_config_selected_is_the_config_used(host: EngineHost) -> None:
    host.select("spot_optimizer_v1", {"interruption_cost_node_hours": 1000}, 1)
    kinds = [a.type for a in host.decide(GIVEN.model_copy(update={"config": {}})).decisions[0].recommendations]
    assert kinds == ["hold"]


def test_a_prepared_engine_decides_only_once_activated(host: EngineHost) -> None:
    host.select("spot_optimizer_v1", {}, 1)
    host.prepare("on_demand_only", {}, 2)
    assert host.selection is not None
    assert host.selection.engine_id == "spot_optimizer_v1"
    assert host.activate(2).engine_id == "on_demand_only"
    assert host.activate(2).generation == 2


def test_an_older_generation_cannot_replace_a_newer_one(host: EngineHost) -> None:
    host.select("spot_optimizer_v1", {}, 5)
    with pytest.raises(SelectionStale):
        host.select("on_demand_only", {}, 4)
    assert host.selection is not None
    assert host.selection.generation == 5


def test_what_was_prepared_too_long_ago_has_expired() -> None:
    now = [0.0]
    catalogue = ScriptedCatalogue(OnDemandOnly().decide)
    host = EngineHost(catalogue, clock=lambda: now[0])
    host.prepare("on_demand_only", {}, 1)
    now[0] = PREPARED_EXPIRES_AFTER_S + 1
    with pytest.raises(SelectionStale):
        host.activate(1)
    assert catalogue.closed == ["on_demand_only"]


def test_an_aborted_preparation_is_closed() -> None:
    catalogue = ScriptedCatalogue(OnDemandOnly().decide)
    host = EngineHost(catalogue)
    host.prepare("on_demand_only", {}, 1)
    host.abort(1)
    host.abort(1)
    assert catalogue.closed == ["on_demand_only"]


def test_an_engine_is_closed_only_after_its_last_decision() -> None:
    started, finish = threading.Event(), threading.Event()

    def slowly(given: DecisionInput) -> DecisionOutput:
        started.set()
        assert finish.wait(timeout=30)
        return OnDemandOnly().decide(given)

    catalogue = ScriptedCatalogue(slowly)
    host = EngineHost(catalogue)
    host.select("spot_optimizer_v1", {}, 1)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(host.decide, GIVEN)
        assert started.wait(timeout=30)
        host.select("on_demand_only", {}, 2)
        assert catalogue.closed == []
        finish.set()
        made_by = answer.result(timeout=30).made_by
    assert made_by is not None
    assert made_by.generation == 1
    assert catalogue.closed == ["spot_optimizer_v1"]


def test_many_swaps_under_load_fail_no_decision() -> None:
    catalogue = ScriptedCatalogue(OnDemandOnly().decide)
    host = EngineHost(catalogue)
    host.select("on_demand_only", {}, 0)
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(host.decide, GIVEN) for _ in range(60)]
        for generation in range(1, 41):
            host.select("on_demand_only", {}, generation)
        assert all(answer.result(timeout=60).made_by for answer in answers)
    assert len(catalogue.closed) == 40
    host.close()
    assert len(catalogue.closed) == 41


def failing(_: DecisionInput) -> DecisionOutput:
    raise ZeroDivisionError("by nothing")


def silent(given: DecisionInput) -> DecisionOutput:
    return DecisionOutput(as_of=given.as_of, decisions=())


def forgetful(given: DecisionInput) -> DecisionOutput:
    output = OnDemandOnly().decide(given)
    empty = output.decisions[0].model_copy(update={"recommendations": ()})
    return output.model_copy(update={"decisions": (empty,)})


@pytest.mark.parametrize(
    ("answer", "detail"),
    [(failing, "ZeroDivisionError: by nothing"), (silent, "asked for"), (forgetful, "in 0 actions")],
    ids=["raises", "answers for nobody", "forgets a node"],
)
def test_a_broken_answer_is_the_engines_failure(answer: Callable[[DecisionInput], DecisionOutput], detail: str) -> None:
    host = EngineHost(ScriptedCatalogue(answer))
    host.select("on_demand_only", {}, 1)
    with pytest.raises(EngineFailed) as caught:
        host.decide(GIVEN)
    assert detail in caught.value.detail


@pytest.mark.parametrize(
    "error",
    [
        EngineNotFound("a", ("b",)),
        EngineConfigInvalid("a", (("x.y", "wrong"),)),
        EngineFailed("a", "why"),
        EngineNotSelected(),
        SelectionStale(1, 2),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_processes_whole(error: Exception) -> None:
    copied = pickle.loads(pickle.dumps(error))
    assert vars(copied) == vars(error)
