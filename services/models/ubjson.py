"""Reads UBJSON (https://ubjson.org) as XGBoost writes it: the form of a booster in a pickle.

Raises ValueError for anything else, and never makes more than the bytes hold.
"""

import struct
from typing import Any

import numpy as np

DEEPEST = 40

NUMBERS: dict[bytes, np.dtype[Any]] = {
    b"i": np.dtype(">i1"),
    b"U": np.dtype(">u1"),
    b"I": np.dtype(">i2"),
    b"l": np.dtype(">i4"),
    b"L": np.dtype(">i8"),
    b"d": np.dtype(">f4"),
    b"D": np.dtype(">f8"),
}
SIZES = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q"}
PLAIN = {b"Z": None, b"T": True, b"F": False}


def read(data: bytes | bytearray) -> Any:
    """The value that `data` is, to its last byte: dicts, lists, texts, numbers, arrays of numbers."""
    reader = Reader(bytes(data))
    value = reader.value(reader.take(1), 0)
    if reader.place != len(reader.data):
        raise ValueError("a booster is followed by more bytes")
    return value


class Reader:
    """A place in the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size < 0 or self.place + size > len(self.data):
            raise ValueError("a booster is cut off")
        self.place += size
        return self.data[self.place - size : self.place]

    def value(self, marker: bytes, depth: int) -> Any:
        """What stands behind a marker."""
        if depth > DEEPEST:
            raise ValueError("a booster is nested too deeply")
        if marker in PLAIN:
            return PLAIN[marker]
        if marker in NUMBERS:
            kind = NUMBERS[marker]
            return np.frombuffer(self.take(kind.itemsize), kind)[0].item()
        if marker == b"S":
            return self.text()
        if marker == b"[":
            return self.array(depth)
        if marker == b"{":
            return self.object(depth)
        raise ValueError(f"a booster has a part of the unknown kind {marker!r}")

    def size(self) -> int:
        """A length: a marker and a number."""
        form = SIZES.get(self.take(1))
        if form is None:
            raise ValueError("a booster has a length that is no number")
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def text(self) -> str:
        """A length and UTF-8."""
        return self.take(self.size()).decode()

    def array(self, depth: int) -> Any:
        """A list, or an array where all its numbers are of one kind."""
        marker = self.take(1)
        if marker == b"$":
            kind = NUMBERS.get(self.take(1))
            if kind is None or self.take(1) != b"#":
                raise ValueError("a booster has an array of what is no number")
            return np.frombuffer(self.take(self.size() * kind.itemsize), kind)
        if marker == b"#":
            count = self.size()
            if not 0 <= count <= len(self.data):
                raise ValueError("a booster is cut off")
            return [self.value(self.take(1), depth + 1) for _ in range(count)]
        items = []
        while marker != b"]":
            items.append(self.value(marker, depth + 1))
            marker = self.take(1)
        return items

    def object(self, depth: int) -> dict[str, Any]:
        """Names and values; no name twice."""
        found: dict[str, Any] = {}
        while self.data[self.place : self.place + 1] != b"}":
            name = self.text()
            if name in found:
                raise ValueError("a booster names a part twice")
            found[name] = self.value(self.take(1), depth + 1)
        self.take(1)
        return found
