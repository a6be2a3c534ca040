"""The confined child: what it may do, what stops it, and what the server hears of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engines.sandbox import ROOT, ConfinedChild, Program, detect_tier
from engines.sandbox_errors import (
    ChildCrashed,
    ChildForbidden,
    ChildOutOfMemory,
    ChildTimedOut,
    ConfinementFailed,
    OutputTooLarge,
    ProgramRaised,
)
from engines.sandbox_limits import Confinement, Limits, Tier

ATTEMPTS = Program("tests.unit.engines.sandbox_programs:attempt")
TIERS = [Tier.A, Tier.B]


@pytest.fixture(scope="module", params=TIERS)
def child(request: pytest.FixtureRequest) -> Iterator[ConfinedChild]:
    """One child per tier, for attempts that it survives."""
    with ConfinedChild(ATTEMPTS, Limits(confinement=Confinement(most=request.param))) as started:
        if started.tier is not request.param:
            pytest.skip(f"this machine offers tier {started.tier} only")
        yield started


@pytest.fixture
def victim() -> Iterator[ConfinedChild]:
    """A child of its own, for attempts that end it."""
    with ConfinedChild(ATTEMPTS, Limits(output_bytes=1000)) as started:
        yield started


def test_the_machine_offers_a_tier_that_uploads_are_let_in_with() -> None:
    assert detect_tier().at_least(Tier.B)


def test_answers_come_back(child: ConfinedChild) -> None:
    assert child.call(b"talk 1000000", 10) == b"x" * 1_000_000


@pytest.mark.parametrize("attempt", ["open_socket", "fork", "thread", "signal_parent"])
def test_it_may_not(child: ConfinedChild, attempt: str) -> None:
    with pytest.raises(ProgramRaised) as caught:
        child.call(attempt.encode(), 10)
    assert caught.value.kind in ("PermissionError", "RuntimeError")


def test_it_writes_no_file(child: ConfinedChild, tmp_path: Path) -> None:
    target = tmp_path / "canary"
    with pytest.raises(ProgramRaised):
        child.call(f"write_file {target}".encode(), 10)
    assert not target.exists()


def test_it_removes_no_file(child: ConfinedChild, tmp_path: Path) -> None:
    target = tmp_path / "canary"
    target.write_text("still here")
    with pytest.raises(ProgramRaised):
        child.call(f"remove_file {target}".encode(), 10)
    assert target.read_text() == "still here"


def test_in_tier_a_it_reads_no_file_of_the_server(child: ConfinedChild, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("token")
    request = f"read_file {secret}".encode()
    if child.tier is Tier.B:
        assert child.call(request, 10) == b"token"  # what tier B leaves open, and why A is better
        return
    with pytest.raises(ProgramRaised, match="Permission"):
        child.call(request, 10)


def test_it_sees_neither_environment_nor_descriptors_of_the_server(
    child: ConfinedChild,
) -> None:
    assert b"PYTEST" not in child.call(b"environment", 10)
    assert int(child.call(b"descriptors", 10)) == 5  # three standard ones and its two pipes


def test_a_file_given_to_it_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_text("content")
    with path.open("rb") as file, ConfinedChild(ATTEMPTS, files=(file.fileno(),)) as child:
        assert child.call(f"rewind {file.fileno()}".encode(), 10) == b"content"


def test_stray_output_does_not_disturb_the_answers(child: ConfinedChild) -> None:
    assert child.call(b"complain 1000000", 10) == b"complained"
    assert child.call(b"talk 1", 10) == b"x"


def test_too_much_memory_is_told_and_survived(child: ConfinedChild) -> None:
    with pytest.raises(ChildOutOfMemory):
        child.call(f"eat_memory {4 * 1024**3}".encode(), 10)
    assert child.call(b"talk 1", 10) == b"x"


def test_a_crash_is_told(victim: ConfinedChild) -> None:
    with pytest.raises(ChildCrashed) as caught:
        victim.call(b"crash", 10)
    assert caught.value.how == "SIGSEGV"
    assert not victim.alive
    with pytest.raises(ChildCrashed):
        victim.call(b"talk 1", 10)


def test_an_exit_is_told(victim: ConfinedChild) -> None:
    with pytest.raises(ChildCrashed) as caught:
        victim.call(b"leave", 10)
    assert caught.value.how == "exit code 3"


def test_starting_a_program_ends_it(victim: ConfinedChild) -> None:
    with pytest.raises(ChildForbidden):
        victim.call(b"execute", 10)


def test_an_endless_loop_ends_with_the_wall_timeout(victim: ConfinedChild) -> None:
    with pytest.raises(ChildTimedOut):
        victim.call(b"loop", 0.2)
    assert not victim.alive


def test_an_endless_loop_ends_with_the_processor_limit() -> None:
    with ConfinedChild(ATTEMPTS, Limits(cpu_s=1)) as child, pytest.raises(ChildTimedOut):
        child.call(b"loop", 60)


def test_an_answer_over_the_limit_ends_it(victim: ConfinedChild) -> None:
    with pytest.raises(OutputTooLarge):
        victim.call(b"talk 1001", 10)
    assert not victim.alive


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfinementFailed, match="no_such_module"):
        ConfinedChild(Program("no_such_module:run"))


def test_a_weaker_tier_than_asked_for_is_refused() -> None:
    with pytest.raises(ConfinementFailed, match="tier C"):
        ConfinedChild(ATTEMPTS, Limits(confinement=Confinement(most=Tier.C)))


def test_the_child_ends_with_its_server() -> None:
    """Also when the server is killed, and though the thread that asked for the child has ended."""
    code = (
        "import sys, threading; sys.path.insert(0, sys.argv[1]);"
        "from engines.sandbox import ConfinedChild, Program;"
        "made = [];"
        "make = lambda: made.append(ConfinedChild(Program('tests.unit.engines.sandbox_programs:attempt')));"
        "thread = threading.Thread(target=make); thread.start(); thread.join();"
        "made[0].call(b'talk 1', 10); print(made[0].pid, flush=True);"
        "made[0].call(b'loop', 600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(ROOT)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert psutil.pid_exists(pid)
        os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the child outlived its server"
