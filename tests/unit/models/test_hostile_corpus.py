"""Nearly three hundred files that attack whoever opens them: none runs, none takes the server down, all are refused."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest

from engines.sandbox import ROOT
from services.errors import ModelRefused
from services.models import containers
from services.models.inspection import Inspector
from services.models.intake import Intake
from services.models.registry import Registry
from services.models.safe_load import RefusedPickle, load
from tests.trained_models import FEATURES
from tests.unit.models import (
    hostile_calls,
    hostile_containers,
    hostile_models,
    hostile_onnx,
    hostile_opcodes,
    hostile_pickles,
)
from tests.unit.models.hostile_assembly import Canary, canary_in
from tests.unit.models.upload_steps import left_behind, upload

pytestmark = pytest.mark.xdist_group("hostile-models")  # they share a zygote

CALLS = hostile_calls.CALLS | {f"opcode {name}": make for name, make in hostile_opcodes.OPCODES.items()}
SILENT = hostile_calls.SILENT | {f"opcode {name}" for name in hostile_opcodes.SILENT}
STRUCTURES = {
    **{f"pickle: {name}": make for name, make in hostile_pickles.PICKLES.items()},
    **{f"tree: {name}": make for name, make in hostile_models.TREES.items()},
    **{f"model: {name}": make for name, make in hostile_models.OTHERS.items()},
    **{f"packed: {name}": make for name, make in hostile_containers.COMPRESSED.items()},
    **{f"skops: {name}": make for name, make in hostile_containers.SKOPS.items()},
    **{f"onnx: {name}": make for name, make in hostile_onnx.ONNX.items()},
}
HONEST = hostile_models.HONEST | hostile_containers.HONEST | hostile_onnx.HONEST

# What a file may be refused with that only lied. A child that was killed for starting a program, or that had to be
# stopped, is not among them.
WORDS = {"type-not-permitted", "unreadable", "corrupt", "not-an-estimator", "too-much-memory", "onnx-not-permitted"}
SANG = 77
CRASHES = {"pickle: tuples within tuples as a key"}  # in Python itself, before any of our checks


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("hostile") / "models")


@pytest.fixture(scope="module")
def intake(registry: Registry) -> Intake:
    return Intake(registry, FEATURES, Inspector(timeout_s=60.0))


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    with canary_in(tmp_path) as silent:
        yield silent


def refusal_of(intake: Intake, registry: Registry, data: bytes) -> str:
    """Its code, with the whole way back checked."""
    before = left_behind(registry)
    with pytest.raises(ModelRefused) as caught:
        upload(intake, data, name=f"h{hashlib.sha256(data).hexdigest()[:20]}", features=FEATURES)
    assert caught.value.detail
    assert caught.value.advice
    assert left_behind(registry) == before
    return caught.value.code


@pytest.mark.parametrize("name", CALLS)
def test_nothing_of_a_file_runs(name: str, intake: Intake, registry: Registry, canary: Canary) -> None:
    """First in this process and unconfined, where only the unpickler stands in the way; then as an upload."""
    data = CALLS[name](canary)
    stream, _ = containers.decompressed(io.BytesIO(data))
    with pytest.raises(RefusedPickle):
        load(stream)
    assert refusal_of(intake, registry, data) in ("type-not-permitted", "unreadable")
    assert not canary.sang()


@pytest.mark.parametrize("name", STRUCTURES)
def test_what_lies_about_itself_is_refused(name: str, intake: Intake, registry: Registry) -> None:
    code = refusal_of(intake, registry, STRUCTURES[name]())
    assert code in WORDS or (name in CRASHES and code == "crashes")


@pytest.mark.parametrize("name", HONEST)
def test_what_the_corpus_is_made_from_is_let_in(name: str, registry: Registry, intake: Intake) -> None:
    """So that the refusals above are of the changes; and the process that met all of that still admits models."""
    task = "spot_price" if name in ("onnx product", "onnx filled", "onnx branches") else "spot_interruption"
    known = name.replace(" ", "-").replace("'", "")
    assert upload(intake, HONEST[name](), name=known, task=task, features=FEATURES).model_id == f"{known}:v1"
    assert f"{known}:v1" in [version.model_id for version in registry.list()]


def test_a_plain_loader_would_run_them() -> None:
    """The canaries do sing, so the tests above can fail: in a process to throw away, each file in a fork of it."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); from tests.unit.models.test_hostile_corpus import fire; fire()"
    told = subprocess.run(
        [sys.executable, "-c", code, str(ROOT)], capture_output=True, check=True, cwd="/", timeout=100
    )
    assert set(json.loads(told.stdout)) == CALLS.keys() - SILENT


def fire() -> None:
    """Open every file with joblib, and print the names of those whose canary sang."""
    sys.stdout.write(json.dumps([name for name in CALLS if _fires(name)]))


def _fires(name: str) -> bool:
    with tempfile.TemporaryDirectory() as folder, canary_in(Path(folder)) as canary:
        data = CALLS[name](canary)
        pid = os.fork()
        if pid == 0:
            _open(data, canary)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status) == SANG or canary.sang()


def _open(data: bytes, canary: Canary) -> None:
    """In the fork: nothing returns from here."""
    signal.alarm(20)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    try:
        joblib.load(io.BytesIO(data))
    except BaseException:  # noqa: BLE001 - what it raises does not matter, only what it did
        pass
    finally:
        os._exit(SANG if canary.sang() else 0)
