"""The process behind a confined child, as its server sees it: started cold by exec, or forked by a zygote."""

import os
import select
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO, Protocol

ROOT = Path(__file__).resolve().parent.parent

ENVIRONMENT = {
    # Below ABI 8 Landlock covers the calling thread only: no library may start a second one.
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # Arrow's own allocator reserves 1 GiB of addresses at the first string column of pandas, which is the whole limit.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JOBLIB_MULTIPROCESSING": "0",
    # Sets of texts have the same order in every child: the same engine decides the same after a restart.
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
    "HOME": "/nonexistent",
}
INHERITED = ("LD_LIBRARY_PATH",)  # some Pythons do not start without theirs
REPORT_S = 5.0  # how long a zygote may take to say how its child ended


class Process(Protocol):
    """A started process with three pipes; `returncode` is as `subprocess` has it, None while it lives."""

    pid: int
    to_child: int  # descriptors of the server's ends
    from_child: int
    errors: int

    def poll(self) -> int | None:
        """The return code, or None while it lives."""
        ...

    def wait(self, timeout_s: float | None = None) -> int:
        """The return code; raises TimeoutError."""
        ...

    def kill(self) -> None:
        """End it, whatever it does; nothing happens when it has ended."""
        ...

    def close(self) -> None:
        """Give the descriptors back, after `wait`."""
        ...


class ColdProcess:
    """An interpreter of its own that runs `boot` with `arguments`; see `Process`."""

    def __init__(self, boot: str, arguments: list[str], files: tuple[int, ...]) -> None:
        """Start it; the caller's thread must live as long as the server (see `spawner`)."""
        self._popen = subprocess.Popen(
            python(boot, arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment(),
            cwd="/",
            pass_fds=files,
            start_new_session=True,
        )
        self._pipes = [_present(pipe) for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr)]
        self.to_child, self.from_child, self.errors = (pipe.fileno() for pipe in self._pipes)
        self.pid = self._popen.pid

    def poll(self) -> int | None:
        """See `Process`."""
        return self._popen.poll()

    def wait(self, timeout_s: float | None = None) -> int:
        """See `Process`."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error

    def kill(self) -> None:
        """See `Process`."""
        self._popen.kill()

    def close(self) -> None:
        """See `Process`."""
        for pipe in self._pipes:
            pipe.close()


class WarmProcess:
    """A zygote's child. It is not ours to wait for: a pidfd says when it ended, and the zygote's report how."""

    def __init__(self, pid: int, pidfd: int, report: int, pipes: tuple[int, int, int]) -> None:
        self.pid = pid
        self.to_child, self.from_child, self.errors = pipes
        self._pidfd = pidfd
        self._report = report
        self._code: int | None = None
        self._closed = False

    def poll(self) -> int | None:
        """See `Process`."""
        if self._code is None and _readable(self._pidfd, 0.0):
            self._code = self._reported()
        return self._code

    def wait(self, timeout_s: float | None = None) -> int:
        """See `Process`."""
        if self._code is None:
            if not _readable(self._pidfd, timeout_s):
                raise TimeoutError
            self._code = self._reported()
        return self._code

    def kill(self) -> None:
        """See `Process`; by pidfd, as the number may be another process's by now."""
        if self._code is None:
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            except ProcessLookupError:
                return

    def close(self) -> None:
        """See `Process`."""
        if not self._closed:
            self._closed = True
            for descriptor in (self.to_child, self.from_child, self.errors, self._pidfd, self._report):
                os.close(descriptor)

    def _reported(self) -> int:
        """A zygote that has died says nothing, and has taken its children with it."""
        said = os.read(self._report, 16) if _readable(self._report, REPORT_S) else b""
        return int(said) if said else -signal.SIGKILL


def python(boot: str, arguments: list[str]) -> list[str]:
    """The command of an interpreter that takes nothing from its surroundings but `environment`."""
    return [sys.executable, "-P", "-s", "-c", boot, str(ROOT), str(os.getpid()), *arguments]


def environment() -> dict[str, str]:
    """All that a child may see of the environment."""
    return ENVIRONMENT | {name: os.environ[name] for name in INHERITED if name in os.environ}


def spawner() -> ThreadPoolExecutor:
    """The thread that starts processes: it lives as long as this process, as their death signal follows it."""
    return _spawner(os.getpid())


@cache
def _spawner(pid: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, f"sandbox-spawner-{pid}")


def _readable(descriptor: int, timeout_s: float | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if timeout_s is None:
        return bool(poll.poll())
    deadline = time.monotonic() + timeout_s
    while not (found := poll.poll(max(0.0, deadline - time.monotonic()) * 1000)):
        if time.monotonic() >= deadline:
            break
    return bool(found)


def _present(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
