"""Zygotes: children that are forked warm are as confined as cold ones, and as alone."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from engines.sandbox import ConfinedChild, Program, detect_tier
from engines.sandbox_errors import ChildCrashed, ChildForbidden, ConfinementFailed, ProgramRaised
from engines.sandbox_limits import Limits
from engines.sandbox_process import ENVIRONMENT, ROOT
from engines.zygote import REST_S, Nursery, Zygote, ZygoteGone, nursery

TARGET = "tests.unit.engines.sandbox_programs:attempt"
WARM = ("bisect",)  # a set of imports that no other test has, so that this zygote may be killed
ATTEMPTS = Program(TARGET, warm=WARM)
ORDER = {"target": TARGET, "warm": WARM, "files": (), "memory_bytes": 2**28, "cpu_s": 60, "most": "A"}


@pytest.fixture
def child() -> Iterator[ConfinedChild]:
    with ConfinedChild(ATTEMPTS) as started:
        yield started


@pytest.fixture
def zygote(child: ConfinedChild) -> psutil.Process:
    """The one that `child` is from."""
    pid = nursery().pid(WARM)
    assert pid is not None
    return psutil.Process(pid)


def gone(process: psutil.Process) -> None:
    """Wait for the end of a process."""
    deadline = time.monotonic() + 20
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it lives on"


def test_children_are_forked_by_one_process(child: ConfinedChild, zygote: psutil.Process) -> None:
    with ConfinedChild(ATTEMPTS) as another:
        assert child.warm
        assert another.warm
        assert {psutil.Process(one.pid).ppid() for one in (child, another)} == {zygote.pid}
    assert zygote.ppid() == os.getpid()


def test_a_warm_child_reaches_the_tier_of_a_cold_one(child: ConfinedChild) -> None:
    with ConfinedChild(ATTEMPTS, cold=True) as cold:
        assert not cold.warm
        assert cold.tier is child.tier
        assert cold.call(b"environment", 10) == child.call(b"environment", 10)
        assert cold.call(b"descriptors", 10) == child.call(b"descriptors", 10)


def test_the_zygote_has_nothing_of_the_server(zygote: psutil.Process) -> None:
    """As root it can be looked into from outside; what a child sees of it is nothing."""
    assert set(zygote.environ()) <= ENVIRONMENT.keys() | {"LD_LIBRARY_PATH", "LC_CTYPE"}
    targets = [str(entry.readlink()) for entry in Path(f"/proc/{zygote.pid}/fd").iterdir()]
    assert {target.partition(":")[0] for target in targets} <= {"/dev/null", "socket", "pipe", "anon_inode"}
    assert zygote.num_threads() == 1


def test_a_child_does_not_see_the_pipes_of_its_siblings(child: ConfinedChild) -> None:
    with ConfinedChild(ATTEMPTS) as second, ConfinedChild(ATTEMPTS) as third:
        assert child.call(b"descriptors", 10) == second.call(b"descriptors", 10) == third.call(b"descriptors", 10)


def test_files_keep_their_numbers_whatever_else_is_open(tmp_path: Path) -> None:
    files = []
    for number in range(5):
        (tmp_path / str(number)).write_text(f"content {number}")
        files.append(os.open(tmp_path / str(number), os.O_RDONLY))
    try:
        with ConfinedChild(ATTEMPTS, files=tuple(reversed(files))) as child:
            for number, descriptor in enumerate(files):
                assert child.call(f"rewind {descriptor}".encode(), 10) == f"content {number}".encode()
    finally:
        for descriptor in files:
            os.close(descriptor)


def test_how_a_child_ended_is_told_by_its_zygote(child: ConfinedChild) -> None:
    with pytest.raises(ChildCrashed, match="exit code 3"):
        child.call(b"leave", 10)
    assert not child.alive


def test_a_zygote_that_died_is_started_again(child: ConfinedChild, zygote: psutil.Process) -> None:
    zygote.kill()
    with pytest.raises(ChildCrashed):  # it took its children with it
        child.call(b"loop", 30)
    with ConfinedChild(ATTEMPTS) as after:
        assert after.warm
        assert after.call(b"talk 1", 10) == b"x"
        assert nursery().pid(WARM) != zygote.pid


def test_where_no_zygote_can_be_had_children_start_cold(monkeypatch: pytest.MonkeyPatch) -> None:
    nursery().close()
    monkeypatch.setattr("engines.zygote.BOOT", "raise SystemExit(3)")
    with ConfinedChild(Program(TARGET, warm=("heapq",))) as child:
        assert not child.warm
        assert child.call(b"talk 1", 10) == b"x"


def test_after_a_failed_start_it_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    made = Nursery(clock=lambda: now[0])
    with monkeypatch.context() as broken:
        broken.setattr("engines.zygote.BOOT", "raise SystemExit(3)")
        assert made.fork(WARM, ORDER, (), 30.0) is None
    assert made.fork(WARM, ORDER, (), 30.0) is None
    now[0] += REST_S
    process = made.fork(WARM, ORDER, (), 30.0)
    assert process is not None
    process.kill()
    assert process.wait(20.0) == -signal.SIGKILL
    process.close()
    made.close()


def test_what_a_zygote_cannot_import_is_told() -> None:
    with pytest.raises(ZygoteGone, match="no_such_module"):
        Zygote(("no_such_module",), 30.0)
    with pytest.raises(ConfinementFailed, match="no_such_program"):
        ConfinedChild(Program("no_such_program:run", warm=WARM))
    with ConfinedChild(ATTEMPTS) as child:  # and the zygote lives on
        assert child.warm


def test_many_threads_may_ask_at_once() -> None:
    def ask(number: int) -> bytes:
        with ConfinedChild(ATTEMPTS) as child:
            return child.call(f"talk {number}".encode(), 30)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(24))) == [b"x" * number for number in range(24)]


def test_nothing_is_left_open_by_children_that_came_and_went(zygote: psutil.Process) -> None:
    def ended() -> int:
        with ConfinedChild(ATTEMPTS) as child:
            child.call(b"talk 1", 10)
        with ConfinedChild(ATTEMPTS) as child, pytest.raises(ProgramRaised):
            child.call(b"fork", 10)
        return psutil.Process().num_fds() + threading.active_count()

    before, theirs = ended(), zygote.num_fds()
    assert [ended() for _ in range(5)] == [before] * 5
    deadline = time.monotonic() + 20
    while zygote.num_fds() > theirs:
        assert time.monotonic() < deadline, "the zygote keeps descriptors"
    assert not [one for one in zygote.children() if one.status() == psutil.STATUS_ZOMBIE]


def test_zygote_and_children_end_with_a_server_that_is_killed() -> None:
    """Though the thread that asked for the child has ended long before."""
    code = (
        "import sys, threading; sys.path.insert(0, sys.argv[1]);"
        "from engines.sandbox import ConfinedChild, Program; from engines.zygote import nursery;"
        f"made = []; program = Program({TARGET!r});"
        "thread = threading.Thread(target=lambda: made.append(ConfinedChild(program))); thread.start(); thread.join();"
        "made[0].call(b'talk 1', 30); print(made[0].pid, nursery().pid(()), flush=True); made[0].call(b'loop', 600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(ROOT)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        processes = [psutil.Process(int(pid)) for pid in server.stdout.readline().split()]
        assert len(processes) == 2
        server.kill()
    for process in processes:
        gone(process)


def test_memory_beyond_the_limit_counts_from_after_the_imports() -> None:
    with ConfinedChild(ATTEMPTS, Limits(memory_bytes=64 * 1024**2)) as child:
        assert child.call(b"eat_memory 30000000", 10) == b"eaten"


@pytest.mark.parametrize("cold", [True, False])
def test_a_thread_that_an_import_started_is_left_behind(cold: bool) -> None:
    """Below ABI 8 Landlock would not cover it, so the child is forked once more, and its end still told."""
    module = "tests.unit.engines.sandbox_threaded"
    program = Program(f"{module}:attempt", warm=(module,))  # a zygote of its own
    with ConfinedChild(program, cold=cold) as child:
        assert child.tier is detect_tier()
        with pytest.raises(ChildCrashed, match="SIGSEGV"):
            child.call(b"crash", 10)
    with ConfinedChild(program, cold=cold) as child, pytest.raises(ChildCrashed, match="exit code 3"):
        child.call(b"leave", 10)
    with ConfinedChild(program, cold=cold) as child, pytest.raises(ChildForbidden):
        child.call(b"execute", 10)
