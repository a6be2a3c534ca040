"""Ninety engines that attack: each is contained and its end told; the server and the other engines do not notice."""

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engines.confined_engine import ConfinedEngine, EngineLimits
from engines.contract import Cluster, hold_everything
from engines.errors import EngineFailed, EngineRefused
from engines.sandbox import detect_tier
from engines.sandbox_limits import Confinement, Tier
from tests.unit.engines import engine_inputs as small
from tests.unit.engines.engine_files import engine_source
from tests.unit.engines.hostile_engines import ALL, LOADING, WITHOUT_LANDLOCK, Attempt

GIVEN = small.given(Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),)))
LIMITS = EngineLimits(decide_s=30.0, load_s=60.0, memory_bytes=256 * 1024**2, output_bytes=4 * 1024**2)
WORD = "a-word-that-nobody-says"

pytestmark = pytest.mark.xdist_group("hostile-engines")  # they share a zygote
needs_tier_a = pytest.mark.skipif(detect_tier() is not Tier.A, reason="this kernel has no Landlock")


class Surroundings:
    """What an engine would like to reach."""

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self.canary = folder / "canary"
        self.secret = folder / "secret"
        self.secret.write_text(WORD)
        self.mode = self.secret.stat().st_mode
        self.listener = listener

    def fill(self, text: str) -> str:
        """Put its places into an engine's text."""
        port = self.listener.getsockname()[1]
        return text.format(canary=self.canary, secret=self.secret, server=os.getpid(), port=port)

    def check_untouched(self) -> None:
        """Nothing was made, read away, changed or called."""
        assert not self.canary.exists()
        assert self.secret.read_text() == WORD
        assert self.secret.stat().st_mode == self.mode
        with pytest.raises(BlockingIOError):
            self.listener.accept()


@pytest.fixture
def around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Surroundings]:
    monkeypatch.setenv("CLOUDOPTIM_TEST_SECRET", WORD)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        made = Surroundings(tmp_path, listener)
        yield made
        made.check_untouched()


@pytest.fixture(scope="module")
def neighbour() -> Iterator[ConfinedEngine]:
    """An honest engine that lives through all of it, in the one child that it began with."""
    engine = ConfinedEngine("neighbour:v1", engine_source(), LIMITS)
    assert engine._child is not None
    pid = engine._child.pid
    yield engine
    assert engine._child.pid == pid
    engine.close()


def end_of(attempt: Attempt, around: Surroundings, limits: EngineLimits = LIMITS) -> EngineFailed:
    if "timed_out" in attempt.kinds:  # the others have time on the busiest machine
        limits = replace(limits, decide_s=0.7)
    engine = ConfinedEngine("hostile:v1", engine_source(*map(around.fill, attempt.lines)), limits)
    try:
        with pytest.raises(EngineFailed) as caught:
            engine.decide(GIVEN)
    finally:
        engine.close()
    return caught.value


def check_end(failure: EngineFailed, attempt: Attempt) -> None:
    assert failure.kind in attempt.kinds, failure
    assert any(word in failure.detail for word in attempt.words), failure
    assert WORD not in failure.detail


@needs_tier_a
@pytest.mark.parametrize("name", ALL)
def test_it_is_contained(name: str, around: Surroundings, neighbour: ConfinedEngine) -> None:
    check_end(end_of(ALL[name], around), ALL[name])
    assert neighbour.decide(GIVEN) == hold_everything(GIVEN)


@pytest.mark.parametrize("name", WITHOUT_LANDLOCK)
def test_without_landlock_it_still_writes_calls_and_starts_nothing(name: str, around: Surroundings) -> None:
    limits = replace(LIMITS, confinement=Confinement(most=Tier.B))
    check_end(end_of(WITHOUT_LANDLOCK[name], around, limits), WITHOUT_LANDLOCK[name])


def test_without_landlock_it_reads_what_the_server_may_read(around: Surroundings) -> None:
    """What tier B lacks, as `readyz` says of it."""
    limits = replace(LIMITS, confinement=Confinement(most=Tier.B))
    lines = ("raise ValueError(open('{secret}').read())",)
    assert WORD in end_of(Attempt(lines), around, limits).detail


def test_it_sees_no_environment_but_its_own(around: Surroundings) -> None:
    failure = end_of(Attempt(("import os", "raise ValueError(sorted(os.environ.items()))")), around)
    assert "OPENBLAS_NUM_THREADS" in failure.detail
    assert "CLOUDOPTIM" not in failure.detail
    assert WORD not in failure.detail


@pytest.mark.parametrize("name", LOADING)
def test_what_strikes_at_the_import_is_told(name: str, around: Surroundings, neighbour: ConfinedEngine) -> None:
    limits = replace(LIMITS, load_s=2.0)
    with pytest.raises((EngineFailed, EngineRefused)):
        ConfinedEngine("hostile:v1", engine_source(before=around.fill(LOADING[name])), limits)
    assert neighbour.decide(GIVEN) == hold_everything(GIVEN)


def test_what_it_changes_in_its_process_stays_there(around: Surroundings) -> None:
    """The next engine comes from the same zygote, and finds nothing of it."""
    poison = "__import__('engines.worker').worker._decide = lambda body: b'{{}}'\nimport json\njson.loads = None\n"
    hostile = ConfinedEngine("hostile:v1", engine_source(before=around.fill(poison)), LIMITS)
    with pytest.raises(EngineFailed):
        hostile.decide(GIVEN)
    honest = ConfinedEngine("honest:v1", engine_source(), LIMITS)
    assert honest.decide(GIVEN) == hold_everything(GIVEN)
    honest.close()
    hostile.close()


def test_one_that_hangs_keeps_no_other_from_deciding(around: Surroundings, neighbour: ConfinedEngine) -> None:
    ends: list[EngineFailed] = []
    lines = ("import time", "time.sleep(3600)")
    hanging = threading.Thread(target=lambda: ends.append(end_of(Attempt(lines, ("timed_out",)), around)))
    hanging.start()
    while hanging.is_alive():
        assert neighbour.decide(GIVEN) == hold_everything(GIVEN)
    assert [end.kind for end in ends] == ["timed_out"]


def test_noise_on_its_standard_streams_is_swallowed(around: Surroundings) -> None:
    lines = ("import sys", "print('x' * 10**7)", "sys.stderr.write('y' * 10**7)", "return hold_everything(given)")
    engine = ConfinedEngine("loud:v1", engine_source(*lines), LIMITS)
    assert engine.decide(GIVEN) == hold_everything(GIVEN)
    engine.close()


def test_compiled_modules_of_the_standard_library_and_numpy_are_there() -> None:
    """Imported by the zygote, as a confined child can map no code."""
    names = ("decimal", "statistics", "sqlite3", "csv", "zoneinfo", "bisect", "heapq", "array", "lzma", "uuid", "cmath")
    lines = (*(f"import {name}" for name in names), "import numpy.random, numpy.fft, numpy.linalg, pandas")
    rest = (
        "zoneinfo.ZoneInfo('Europe/Berlin')",
        "numpy.random.default_rng(1).normal(size=3)",
        "return hold_everything(given)",
    )
    engine = ConfinedEngine("wide:v1", engine_source(*lines, *rest), LIMITS)
    assert engine.decide(GIVEN) == hold_everything(GIVEN)
    engine.close()
