"""What goes over the pipes between a server and its confined child: frames of a kind, a length and bytes."""

import os
import select
import struct
import time
from collections.abc import Callable

HEADER = struct.Struct(">cQ")
CHUNK = 1024**2

REQUEST = b"q"
HELLO = b"h"
RESULT = b"r"
RAISED = b"e"
OUT_OF_MEMORY = b"m"


class PipeClosed(Exception):
    """The other side has gone."""


class PipeLate(Exception):
    """The other side did not read or write in time."""


class FrameTooLong(Exception):
    """The other side announces more bytes than it may send."""


def send(descriptor: int, kind: bytes, body: bytes, deadline: float | None = None) -> None:
    """Write one frame; `deadline` is on the monotonic clock. Raises `PipeClosed`, `PipeLate`."""
    for part in (HEADER.pack(kind, len(body)), body):
        rest = memoryview(part)
        while rest:
            _wait(descriptor, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(descriptor, rest[:CHUNK]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as error:
                raise PipeClosed from error


def receive(descriptor: int, limit_bytes: int, deadline: float | None = None) -> tuple[bytes, bytes]:
    """Read one frame: (kind, body). Raises `PipeClosed`, `PipeLate`, `FrameTooLong`."""
    kind, size = HEADER.unpack(_exactly(descriptor, HEADER.size, deadline))
    if size > limit_bytes:
        raise FrameTooLong
    return kind, _exactly(descriptor, size, deadline)


def _exactly(descriptor: int, size: int, deadline: float | None) -> bytes:
    parts: list[bytes] = []
    missing = size
    while missing:
        _wait(descriptor, select.POLLIN, deadline)
        try:
            part = os.read(descriptor, min(missing, CHUNK))
        except BlockingIOError:
            continue
        if not part:
            raise PipeClosed
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _wait(descriptor: int, event: int, deadline: float | None, clock: Callable[[], float] = time.monotonic) -> None:
    if deadline is None:
        return
    poll = select.poll()
    poll.register(descriptor, event)
    left = deadline - clock()
    if left <= 0 or not poll.poll(left * 1000):
        raise PipeLate
