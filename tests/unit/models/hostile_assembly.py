"""Writes pickles that no pickler would write, out of values, names and calls; and the canary that shows what ran."""

import os
import select
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "CLOUDOPTIM_TEST_CANARY"


@dataclass(frozen=True, slots=True)
class Canary:
    """A file that is not there, a port that nobody has called, a variable that is not set."""

    path: Path
    listener: socket.socket

    @property
    def port(self) -> int:
        """Where a connection makes it sing."""
        return int(self.listener.getsockname()[1])

    @property
    def code(self) -> str:
        """Python that makes it sing; an expression."""
        return f"__import__('pathlib').Path({str(self.path)!r}).touch()"

    @property
    def command(self) -> str:
        """A shell's command that makes it sing."""
        return f"touch '{self.path}'"

    def sang(self) -> bool:
        """Whether something ran, by any of its signs."""
        called, _, _ = select.select([self.listener], [], [], 0)
        return bool(called) or self.path.exists() or VARIABLE in os.environ or str(self.path) in sys.path


@contextmanager
def canary_in(folder: Path) -> Iterator[Canary]:
    """A silent one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Canary(folder / "canary", listener)


@dataclass(frozen=True, slots=True)
class Name:
    """What a GLOBAL opcode finds."""

    module: str
    attribute: str


@dataclass(frozen=True)
class Call:
    """What a REDUCE opcode makes."""

    function: Any
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Raw:
    """Opcodes as they are."""

    data: bytes


def call(function: Any, *arguments: Any) -> Call:
    """`function` is a `Name` or any other value; see `push`."""
    return Call(function, arguments)


def named(dotted: str) -> Name:
    """`module.attribute`."""
    module, _, attribute = dotted.rpartition(".")
    return Name(module, attribute)


def pickled(*values: Any) -> bytes:
    """A protocol 4 pickle that makes the values one after another, and holds the last."""
    return b"\x80\x04" + b"0".join(push(value) for value in values) + b"."


def push(value: Any) -> bytes:
    """The opcodes that leave `value` on the stack."""
    match value:
        case Raw():
            return value.data
        case Name():
            return push(value.module) + push(value.attribute) + b"\x93"
        case Call():
            return push(value.function) + push(value.arguments) + b"R"
        case None | bool():
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case int():
            data = value.to_bytes(16, "little", signed=True)
            return b"\x8a" + bytes([len(data)]) + data
        case str():
            data = value.encode()
            return b"X" + struct.pack("<I", len(data)) + data
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case tuple():
            return b"(" + b"".join(map(push, value)) + b"t"
        case list():
            return b"(" + b"".join(map(push, value)) + b"l"
        case dict():
            return b"(" + b"".join(push(key) + push(item) for key, item in value.items()) + b"d"
    raise TypeError(type(value))


def built(kind: Any, *states: Any) -> Raw:
    """An instance made by NEWOBJ without arguments, then BUILD with each state."""
    return Raw(push(kind) + b")\x81" + b"".join(push(state) + b"b" for state in states))
