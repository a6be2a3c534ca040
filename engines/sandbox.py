"""Runs code that is not ours in a confined child process: bytes in, bytes out, or an error of a known kind."""

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from engines import sandbox_wire as wire
from engines.sandbox_errors import (
    ChildCrashed,
    ChildForbidden,
    ChildOutOfMemory,
    ChildTimedOut,
    ConfinementFailed,
    OutputTooLarge,
    ProgramRaised,
    SandboxError,
)
from engines.sandbox_limits import Limits, Tier

ROOT = Path(__file__).resolve().parent.parent
BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from engines.sandbox_child import main; main(sys.argv[1], int(sys.argv[2]))"
)
STDERR_KEPT = 4096

# A second thread in the child would be out of Landlock's reach.
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    # Arrow's own allocator reserves 1 GiB of addresses at the first string column of pandas, which is the whole limit.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JOBLIB_MULTIPROCESSING": "0",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
    "HOME": "/nonexistent",
}
INHERITED = ("LD_LIBRARY_PATH",)  # some Pythons do not start without theirs


@dataclass(frozen=True, slots=True)
class Program:
    """`target` is "module:function", a `bytes -> bytes` that runs confined; `warm` are modules it needs.

    Both are imported before the child is confined, so they must be our own or a library's, never an upload.
    """

    target: str
    warm: tuple[str, ...] = ()


class ConfinedChild:
    """One child process that serves one program; not for several threads at once.

    `files` are descriptors of the server that the child keeps under the same numbers, for instance of an upload
    opened for reading. After `ChildCrashed`, `ChildForbidden`, `ChildTimedOut` or `OutputTooLarge` it is gone.
    """

    def __init__(
        self, program: Program, limits: Limits | None = None, *, files: tuple[int, ...] = (), most: Tier = Tier.A
    ) -> None:
        """Start and confine it; raises `ConfinementFailed` when it does not reach `limits.weakest`."""
        self._limits = limits or Limits()
        self._tail = b""
        self._process = _spawner(os.getpid()).submit(_spawn, files).result()
        os.set_blocking(_descriptor(self._process.stdin), False)
        os.set_blocking(_descriptor(self._process.stdout), False)
        self._listener = threading.Thread(target=self._listen, daemon=True, name="sandbox-stderr")
        self._listener.start()
        try:
            self.tier = self._begin(program, files, most)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can be called."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def call(self, request: bytes, timeout_s: float) -> bytes:
        """Give the program a request and wait for its answer; raises `SandboxError`, one of its kinds."""
        kind, answer = self._exchange(wire.REQUEST, request, self._limits.output_bytes, timeout_s)
        if kind == wire.RESULT:
            return answer
        if kind == wire.OUT_OF_MEMORY:
            raise ChildOutOfMemory(self._limits.memory_bytes)
        name, _, detail = answer[:8192].decode(errors="replace").partition("\n")
        raise ProgramRaised(name, detail)

    def close(self) -> None:
        """Kill it and free its pipes; nothing happens the second time."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> "ConfinedChild":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, program: Program, files: tuple[int, ...], most: Tier) -> Tier:
        order = {
            "target": program.target,
            "warm": program.warm,
            "files": files,
            "memory_bytes": self._limits.memory_bytes,
            "cpu_s": self._limits.cpu_s,
            "most": most,
        }
        try:
            _, answer = self._exchange(wire.REQUEST, json.dumps(order).encode(), 4096, self._limits.start_s)
        except SandboxError as error:
            said = error.stderr if isinstance(error, ChildCrashed) else ""
            raise ConfinementFailed(f"the child did not start: {error} {said}".strip()) from error
        tier = Tier(json.loads(answer)["tier"])
        if not tier.at_least(self._limits.weakest):
            raise ConfinementFailed(f"this machine offers tier {tier}, and {self._limits.weakest} is needed")
        return tier

    def _exchange(self, kind: bytes, body: bytes, limit_bytes: int, timeout_s: float) -> tuple[bytes, bytes]:
        if self._process.stdin is None or self._process.stdin.closed:
            raise ChildCrashed("it was closed", "")
        deadline = time.monotonic() + timeout_s
        try:
            wire.send(_descriptor(self._process.stdin), kind, body, deadline)
            return wire.receive(_descriptor(self._process.stdout), limit_bytes, deadline)
        except wire.PipeLate as error:
            self.close()
            raise ChildTimedOut(timeout_s) from error
        except wire.FrameTooLong as error:
            self.close()
            raise OutputTooLarge(limit_bytes) from error
        except wire.PipeClosed as error:
            raise self._ended() from error

    def _ended(self) -> SandboxError:
        """Why the pipe closed; a child that closed it and lives on is killed."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self.close()
        if code == -signal.SIGSYS:
            return ChildForbidden()
        if code == -signal.SIGXCPU:
            return ChildTimedOut(float(self._limits.cpu_s or 0))
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return ChildCrashed(how, self._tail.decode(errors="replace"))

    def _listen(self) -> None:
        """Drain stderr, so that a talkative child does not block, and keep its end."""
        while part := os.read(_descriptor(self._process.stderr), 65_536):
            self._tail = (self._tail + part)[-STDERR_KEPT:]


@functools.cache
def detect_tier() -> Tier:
    """How far this machine lets a child be confined, tried out once with a real one."""
    with ConfinedChild(Program("engines.sandbox_probe:echo"), Limits(weakest=Tier.C)) as child:
        child.call(b"", 10.0)
        return child.tier


@functools.cache
def _spawner(pid: int) -> ThreadPoolExecutor:
    """The thread that starts children: it must live as long as the process `pid`, as their death signal follows it."""
    return ThreadPoolExecutor(1, f"sandbox-spawner-{pid}")


def _spawn(files: tuple[int, ...]) -> "subprocess.Popen[bytes]":
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-I", "-c", BOOT, str(ROOT), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=ENVIRONMENT | inherited,
        cwd="/",
        pass_fds=files,
        start_new_session=True,
    )


def _descriptor(pipe: IO[bytes] | None) -> int:
    if pipe is None:
        raise ConfinementFailed("the child has no pipes")
    return pipe.fileno()
