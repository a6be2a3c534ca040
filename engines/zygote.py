"""Zygotes as the server sees them: processes with warm imports that fork confined children in milliseconds."""

import atexit
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from engines.sandbox_process import WarmProcess, environment, python, spawner

BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from engines.zygote_process import main; main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"
)
REST_S = 60.0  # after one could not be started; children start cold until then
PACKET_BYTES = 65_536


class ZygoteGone(Exception):
    """It has ended, or cannot be started; `detail` says what is known of it."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class OrderRefused(Exception):
    """The zygote lives, and the program that was ordered cannot be imported."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Zygote:
    """One process with `warm` imported, for one thread at a time. It ends with the server, its children with it."""

    def __init__(self, warm: tuple[str, ...], timeout_s: float) -> None:
        """Start it and wait for its imports; raises `ZygoteGone`."""
        self._socket, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with control:
            self._popen = spawner().submit(_start, control.fileno(), warm).result()
        try:
            self._socket.settimeout(timeout_s)
            self._told()
        except OrderRefused as error:
            self.close()
            raise ZygoteGone(error.detail) from error
        except ZygoteGone:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it can fork."""
        return self._popen.poll() is None

    def fork(self, order: dict[str, Any], files: tuple[int, ...], timeout_s: float) -> WarmProcess:
        """A child that confines itself and serves `order`; raises `ZygoteGone`, `OrderRefused`."""
        pipes = [os.pipe() for _ in range(4)]
        (stdin, to_child), (from_child, stdout), (errors, stderr), (report, reporter) = pipes
        theirs, ours = (stdin, stdout, stderr, reporter), (to_child, from_child, errors, report)
        try:
            self._socket.settimeout(timeout_s)
            try:
                socket.send_fds(self._socket, [json.dumps(order).encode()], [*theirs, *files])
            except OSError as error:
                raise ZygoteGone(f"it takes no orders: {error}") from error
            told, (pidfd,) = self._told(1)
        except BaseException:
            _close(ours)
            raise
        finally:
            _close(theirs)
        return WarmProcess(int(told["pid"]), pidfd, report, (to_child, from_child, errors))

    def close(self) -> None:
        """End it, and whatever it has forked."""
        self._socket.close()
        self._popen.kill()
        self._popen.wait()

    def _told(self, descriptors: int = 0) -> tuple[dict[str, Any], list[int]]:
        try:
            packet, found, _, _ = socket.recv_fds(
                self._socket, PACKET_BYTES, max(1, descriptors), socket.MSG_CMSG_CLOEXEC
            )
        except OSError as error:
            raise ZygoteGone(f"it does not answer: {error}") from error
        if not packet:
            raise ZygoteGone(f"it ended with {self._popen.wait()}")
        told = json.loads(packet)
        if "error" in told:
            raise OrderRefused(str(told["error"]))
        return told, found


class Nursery:
    """The zygotes of one process, each started when first needed and again when it has died."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, ...], threading.Lock] = {}
        self._zygotes: dict[tuple[str, ...], Zygote] = {}
        self._rest_until: dict[tuple[str, ...], float] = {}

    def fork(
        self, warm: tuple[str, ...], order: dict[str, Any], files: tuple[int, ...], timeout_s: float
    ) -> WarmProcess | None:
        """A child; None when no zygote can be had, so that the child must start cold. Raises `OrderRefused`."""
        with self._lock_of(warm):
            for _ in range(2):  # the second time with a new one, when the first turns out to be dead
                zygote = self._zygote(warm, timeout_s)
                if zygote is None:
                    return None
                try:
                    return zygote.fork(order, files, timeout_s)
                except ZygoteGone:
                    self._drop(warm)
            return None

    def pid(self, warm: tuple[str, ...]) -> int | None:
        """The process that forks for these imports, when there is one."""
        zygote = self._zygotes.get(warm)
        return zygote.pid if zygote is not None and zygote.alive else None

    def close(self) -> None:
        """End them all; the next child starts a new one."""
        for warm in list(self._zygotes):
            with self._lock_of(warm):
                self._drop(warm)

    def _lock_of(self, warm: tuple[str, ...]) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(warm, threading.Lock())

    def _zygote(self, warm: tuple[str, ...], timeout_s: float) -> Zygote | None:
        zygote = self._zygotes.get(warm)
        if zygote is not None and zygote.alive:
            return zygote
        self._drop(warm)
        if self._clock() < self._rest_until.get(warm, 0.0):
            return None
        try:
            self._zygotes[warm] = Zygote(warm, timeout_s)
        except (ZygoteGone, OSError):
            self._rest_until[warm] = self._clock() + REST_S
            return None
        return self._zygotes[warm]

    def _drop(self, warm: tuple[str, ...]) -> None:
        zygote = self._zygotes.pop(warm, None)
        if zygote is not None:
            zygote.close()


def nursery() -> Nursery:
    """This process's own; one that was forked off begins anew."""
    return _nursery(os.getpid())


@cache
def _nursery(pid: int) -> Nursery:
    made = Nursery()

    def close() -> None:
        if os.getpid() == pid:
            made.close()

    atexit.register(close)
    return made


def _start(control: int, warm: tuple[str, ...]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        python(BOOT, [str(control), ",".join(warm)]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd="/",
        pass_fds=(control,),
        start_new_session=True,
    )


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
