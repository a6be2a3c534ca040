"""Taking engines in: the checks run over the child's answers, and a refused one leaves nothing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engines.catalogue import Catalogue
from engines.checks import CHECKS
from engines.confined_engine import EngineLimits
from engines.errors import EngineExists, EngineRefused
from engines.intake import EngineOrder, admit, examine
from engines.starting_file import starting_file
from tests.unit.engines.engine_files import engine_file

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = EngineLimits(decide_s=0.25)
EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "engines").glob("*_engine.py"))


def order(name: str = "mine", version: str = "v1") -> EngineOrder:
    return EngineOrder(name, version, "", "me", "mine.py")


def refused(
    catalogue: Catalogue, text: bytes, asked: EngineOrder | None = None, limits: EngineLimits | None = None
) -> EngineRefused:
    with pytest.raises(EngineRefused) as caught:
        admit(catalogue, text, asked or order(), NOW, limits)
    assert [entry for entry in catalogue.list() if not entry.builtin] == []
    return caught.value


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_passes_every_check(path: Path) -> None:
    report = examine(path.read_bytes(), path.stem)
    assert report.passed, report.problems()
    assert len(report.outcomes) == len(CHECKS)


def test_there_is_an_example_of_rules_of_models_and_of_both() -> None:
    assert [path.stem for path in EXAMPLES] == ["hybrid_engine", "models_engine", "rules_engine"]


def test_a_starting_file_is_taken_in_and_its_metadata_are_known(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    text = starting_file("night-owl").encode()
    entry = admit(catalogue, text, order("night-owl", "v2"), NOW)
    assert (entry.engine_id, entry.builtin, entry.size_bytes) == ("night-owl:v2", False, len(text))
    assert entry.description.startswith("Moves nodes")
    found = Catalogue(tmp_path).metadata("night-owl:v2")
    assert found.config_defaults == {"least_saving_percent": 10}
    assert found.input_schema == catalogue.metadata("spot_optimizer_v1").input_schema
    assert catalogue.validated_config("night-owl:v2", {"least_saving_percent": 5}) == {"least_saving_percent": 5}
    assert catalogue.uploads.text("night-owl:v2") == text
    with pytest.raises(EngineExists):
        admit(catalogue, text, order("night-owl", "v2"), NOW)


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        (["return 1 / 0"], 17, "ZeroDivisionError"),
        (["while True: pass"], None, "within 1 s"),
        (["return DecisionOutput(as_of=given.as_of, decisions=())"], None, "asked for the clusters"),
        (["import random", "out = hold_everything(given)", "return out.model_copy(update={'as_of': None})"], None, ""),
        (["import os", "os._exit(0) if given.clusters else None", "return hold_everything(given)"], None, "exit code"),
    ],
    ids=["raises", "hangs", "answers for nobody", "no instant", "leaves"],
)
def test_an_engine_that_fails_a_check_is_refused_with_what_it_did(
    tmp_path: Path, body: list[str], line: int | None, words: str
) -> None:
    error = refused(Catalogue(tmp_path), engine_file(*body), limits=QUICK)
    assert error.stage == "check"
    assert error.problems[0].line == line
    assert words in error.problems[0].detail
    assert not (tmp_path / "mine").exists()


def test_an_engine_that_breaks_a_constraint_is_refused(tmp_path: Path) -> None:
    free = "Draft(given, cluster.model_copy(update={'constraints': type(cluster.constraints)()}))"
    error = refused(Catalogue(tmp_path), starting_file("reckless").replace("Draft(given, cluster)", free).encode())
    assert any("constraints" in problem.detail for problem in error.problems), error


def test_an_engine_that_remembers_is_caught(tmp_path: Path) -> None:
    body = (
        "global calls",
        "calls += 1",
        "decisions = tuple(Draft(given, cluster, calls).decision() for cluster in given.clusters)",
        "return DecisionOutput(as_of=given.as_of, decisions=decisions)",
    )
    text = engine_file(*body, before="calls = 1\n").replace(b"DecisionOutput, hold", b"DecisionOutput, Draft, hold")
    error = refused(Catalogue(tmp_path), text)
    assert any("two calls gave two answers" in problem.detail for problem in error.problems), error


def test_a_config_without_descriptions_is_refused(tmp_path: Path) -> None:
    text = engine_file().replace(b', description="How deep (count)"', b"")
    assert "depth has no default or no description" in refused(Catalogue(tmp_path), text).problems[0].detail


@pytest.mark.parametrize(("name", "version"), [("", "v1"), ("Mine", "v1"), ("mine", "../v1"), ("mine", "x" * 64)])
def test_names_that_none_may_have(tmp_path: Path, name: str, version: str) -> None:
    assert refused(Catalogue(tmp_path), engine_file(), order(name, version)).stage == "name"


def test_the_name_of_a_built_in_engine_is_taken(tmp_path: Path) -> None:
    with pytest.raises(EngineExists):
        admit(Catalogue(tmp_path), engine_file(), order("on_demand_only"), NOW)
