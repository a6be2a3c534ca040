"""An uploaded engine in its child: what it answers, what its failures are called, and how it comes back from them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engines.confined_engine import QUARANTINE_AFTER, ConfinedEngine, EngineLimits
from engines.contract import Cluster, hold_everything
from engines.errors import EngineConfigInvalid, EngineFailed, EngineRefused
from tests.unit.engines import engine_inputs as small
from tests.unit.engines.engine_files import HOLDS, engine_source

GIVEN = small.given(Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),)))
QUICK = EngineLimits(decide_s=10, memory_bytes=256 * 1024**2, output_bytes=1024**2)


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def holding() -> Iterator[ConfinedEngine]:
    engine = ConfinedEngine("tested:v1", engine_source(HOLDS))
    yield engine
    engine.close()


def failing(*body: str, limits: EngineLimits = QUICK) -> EngineFailed:
    engine = ConfinedEngine("tested:v1", engine_source(*body), limits)
    try:
        with pytest.raises(EngineFailed) as caught:
            engine.decide(GIVEN)
    finally:
        engine.close()
    return caught.value


def test_it_answers_what_it_would_in_process(holding: ConfinedEngine) -> None:
    assert holding.decide(GIVEN) == hold_everything(GIVEN)


def test_it_says_what_it_is(holding: ConfinedEngine) -> None:
    said = holding.described
    assert (said.name, said.version, said.config_defaults) == ("tested", "1", {"depth": 3})
    assert said.config_schema["properties"]["depth"]["minimum"] == 1


def test_a_config_is_held_against_its_own_model(holding: ConfinedEngine) -> None:
    assert holding.validated_config({}) == {"depth": 3}
    with pytest.raises(EngineConfigInvalid) as caught:
        holding.validated_config({"depth": 0})
    assert caught.value.problems[0][0] == "depth"


def test_it_may_compute_with_numpy_and_pandas() -> None:
    body = ("frame = pd.DataFrame({'a': np.arange(3.0)})", "assert frame['a'].sum() == 3", HOLDS)
    engine = ConfinedEngine("t:1", engine_source(*body, before="import numpy as np\nimport pandas as pd\n"))
    assert engine.decide(GIVEN) == hold_everything(GIVEN)
    engine.close()


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (["return 1 / 0"], "raised", "line 17: ZeroDivisionError"),
        (["return None"], "raised", "NoneType, which is no DecisionOutput"),
        (["while True:", "    pass"], "timed_out", "within 0.5 s"),
        (["import os", "os._exit(3)"], "crashed", "exit code 3"),
        (["raise SystemExit"], "raised", "line 17: SystemExit"),
        (["x = bytearray(10**9)", HOLDS], "out_of_memory", "256 MiB"),
        (
            ["out = hold_everything(given)", "return out.model_construct(as_of='x' * 10**7, decisions=())"],
            "too_large",
            "",
        ),
        (["return DecisionOutput.model_construct(as_of=1, decisions=({},))"], "no_decision", "is no decision"),
        (["import os", "os.execv('/bin/true', ['true'])"], "forbidden", "start a program"),
    ],
    ids=lambda value: value[0][:30] if isinstance(value, list) else None,
)
def test_each_way_to_fail_has_its_kind(body: list[str], kind: str, words: str) -> None:
    failure = failing(*body, limits=replace(QUICK, decide_s=0.5) if kind == "timed_out" else QUICK)
    assert (failure.engine_id, failure.kind) == ("tested:v1", kind), failure
    assert words in failure.detail


def test_what_a_file_raises_when_it_is_loaded_has_its_line() -> None:
    for before, line in (("x = 1\ny = x / 0\n", 2), ("import os\nos.open('/etc/passwd', 0)\n", 2)):
        with pytest.raises(EngineRefused) as caught:
            ConfinedEngine("t:1", engine_source(before=before))
        assert caught.value.stage == "load"
        assert caught.value.problems[0].line == line


def test_after_an_end_it_rests_comes_back_and_is_kept_out_in_the_end(clock: Clock) -> None:
    engine = ConfinedEngine("t:1", engine_source("import os", "os._exit(1)"), QUICK, clock)
    kinds = []
    for crash in range(QUARANTINE_AFTER):
        for _ in range(2):
            with pytest.raises(EngineFailed) as caught:
                engine.decide(GIVEN)
            kinds.append(caught.value.kind)
        clock.now += 2.0**crash
    assert kinds == ["crashed", "resting"] * (QUARANTINE_AFTER - 1) + ["crashed", "quarantined"]
    clock.now += 1e6
    with pytest.raises(EngineFailed, match="select it again"):
        engine.decide(GIVEN)
    engine.close()


def test_one_that_answers_again_begins_afresh(clock: Clock) -> None:
    body = ("import os", "if len(given.clusters) == 1: os._exit(1)", HOLDS)
    engine = ConfinedEngine("t:1", engine_source(*body), QUICK, clock)
    for _ in range(2 * QUARANTINE_AFTER):
        with pytest.raises(EngineFailed) as caught:
            engine.decide(GIVEN)
        assert caught.value.kind == "crashed"
        clock.now += 1
        assert engine.decide(small.given()).decisions == ()
    engine.close()


def test_its_child_is_renewed_before_its_processor_time_is_used_up(clock: Clock) -> None:
    # The engine counts its own calls, so that a new child shows.
    body = ("global calls", "calls += 1", "assert calls < 3", HOLDS)
    engine = ConfinedEngine("t:1", engine_source(*body, before="calls = 0\n"), EngineLimits(), clock)
    engine.decide(GIVEN)
    engine.decide(GIVEN)
    with pytest.raises(EngineFailed, match="AssertionError"):
        engine.decide(GIVEN)
    engine._health.spent_s = EngineLimits().cpu_s
    engine.decide(GIVEN)
    engine.close()


def test_nothing_is_decided_once_it_is_closed() -> None:
    engine = ConfinedEngine("t:1", engine_source())
    engine.close()
    with pytest.raises(EngineFailed) as caught:
        engine.decide(GIVEN)
    assert caught.value.kind == "not_started"


def test_the_server_that_it_runs_in_cannot_be_reached(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a key")
    tries = [
        f"open({str(secret)!r}).read()",
        f"open({str(tmp_path / 'new')!r}, 'w')",
        "__import__('socket').socket()",
        "__import__('os').fork()",
        "__import__('os').kill(__import__('os').getppid(), 0)",
    ]
    for attempt in tries:
        assert failing(attempt, HOLDS).kind == "raised"
    assert list(tmp_path.iterdir()) == [secret]
