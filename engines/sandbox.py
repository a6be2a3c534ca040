"""Runs code that is not ours in a confined child process: bytes in, bytes out, or an error of a known kind."""

import contextlib
import fcntl
import functools
import json
import os
import signal
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

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
from engines.sandbox_limits import Confinement, Limits, Tier
from engines.sandbox_process import ROOT, ColdProcess, Process, spawner
from engines.zygote import OrderRefused, nursery

__all__ = ["ROOT", "ConfinedChild", "Program", "detect_tier"]

BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from engines.sandbox_child import main; main(sys.argv[1], int(sys.argv[2]))"
)
STDERR_KEPT = 4096
PIPE_BYTES = 1024**2  # the most that the kernel gives without privilege


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
        self,
        program: Program,
        limits: Limits | None = None,
        *,
        files: tuple[int, ...] = (),
        cold: bool = False,
    ) -> None:
        """Start and confine it; raises `ConfinementFailed` when it reaches less than `limits.confinement.weakest`.

        A zygote forks it, unless `cold` is asked for or none can be had.
        """
        self._limits = limits or Limits()
        self._tail = b""
        self._closed = False
        order = self._order(program, files)
        self._process, self.warm = _start(program, order, files, self._limits.start_s, cold=cold)
        os.set_blocking(self._process.to_child, False)
        os.set_blocking(self._process.from_child, False)
        for pipe in (self._process.to_child, self._process.from_child):
            _widen(pipe)
        self._listener = threading.Thread(target=self._listen, daemon=True, name="sandbox-stderr")
        self._listener.start()
        try:
            self.tier = self._begin(order)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can be called."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Until it has ended, by itself or by another's hand."""
        self._process.wait()

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
        if not self._closed:
            self._closed = True
            self._process.kill()
            self._process.wait()
            self._listener.join()
            self._process.close()

    def __enter__(self) -> "ConfinedChild":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _order(self, program: Program, files: tuple[int, ...]) -> dict[str, Any]:
        return {
            "target": program.target,
            "warm": program.warm,
            "files": files,
            "memory_bytes": self._limits.memory_bytes,
            "cpu_s": self._limits.cpu_s,
            "most": self._limits.confinement.most,
        }

    def _begin(self, order: dict[str, Any]) -> Tier:
        body = json.dumps(order).encode()
        try:
            _, answer = self._exchange(None if self.warm else wire.REQUEST, body, 4096, self._limits.start_s)
        except SandboxError as error:
            said = error.stderr if isinstance(error, ChildCrashed) else ""
            raise ConfinementFailed(f"the child did not start: {error} {said}".strip()) from error
        tier = Tier(json.loads(answer)["tier"])
        weakest = self._limits.confinement.weakest
        if not tier.at_least(weakest):
            raise ConfinementFailed(f"children are confined to tier {tier} here, and tier {weakest} is needed")
        return tier

    def _exchange(self, kind: bytes | None, body: bytes, limit_bytes: int, timeout_s: float) -> tuple[bytes, bytes]:
        if self._closed:
            raise ChildCrashed("it was closed", "")
        deadline = time.monotonic() + timeout_s
        try:
            if kind is not None:
                wire.send(self._process.to_child, kind, body, deadline)
            return wire.receive(self._process.from_child, limit_bytes, deadline)
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
        except TimeoutError:
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
        while part := os.read(self._process.errors, 65_536):
            self._tail = (self._tail + part)[-STDERR_KEPT:]


@functools.cache
def detect_tier(most: Tier = Tier.A) -> Tier:
    """How far this machine lets a child be confined, tried out once with a real one; at most to the tier `most`."""
    limits = Limits(confinement=Confinement(most, weakest=Tier.C))
    with ConfinedChild(Program("engines.sandbox_probe:echo"), limits, cold=True) as child:
        child.call(b"", 10.0)
        return child.tier


def _start(
    program: Program, order: dict[str, Any], files: tuple[int, ...], timeout_s: float, *, cold: bool
) -> tuple[Process, bool]:
    """A process for the child, and whether a zygote forked it."""
    try:
        warm = None if cold else nursery().fork(program.warm, order, files, timeout_s)
    except OrderRefused as error:
        raise ConfinementFailed(f"the child did not start: {error.detail}") from error
    if warm is not None:
        return warm, True
    return spawner().submit(ColdProcess, BOOT, [], files).result(), False


def _widen(pipe: int) -> None:
    """A message that fits the pipe as a whole goes over in one turn: 0.2 ms become 0.07 at 100 kB."""
    with contextlib.suppress(OSError):  # the user's pipes together may have no more: it works as it is
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
