"""Tells what an uploaded file is by its first bytes, and opens compressed ones."""

import bz2
import io
import lzma
import zlib
from typing import IO, Literal, Protocol

Kind = Literal["pickle", "skops", "onnx", "unknown"]

CHUNK = 256 * 1024


class Inflate(Protocol):
    """What Python's decompressors of bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class Zlib:
    """zlib's decompressor in the form of the others."""

    def __init__(self, window_bits: int) -> None:
        self._inner = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class Inflated(io.RawIOBase):
    """One compressed stream, read forward to its end; Python's own readers overlook bytes that follow it."""

    def __init__(self, file: IO[bytes], inflate: Inflate) -> None:
        """`file` is at the stream's start."""
        self._file = file
        self._inflate = inflate

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill some of `buffer`; 0 at the end. Raises EOFError for a cut-off stream, OSError for bytes after it."""
        while not self._inflate.eof:
            data = self._file.read(CHUNK) if self._inflate.needs_input else b""
            if self._inflate.needs_input and not data:
                raise EOFError("the compressed part is cut off")
            out = self._inflate.decompress(data, len(buffer))
            if out:
                buffer[: len(out)] = out
                return len(out)
        if self._inflate.unused_data or self._file.read(1):
            raise OSError("the compressed part is followed by more bytes")
        return 0


def kind_of(head: bytes) -> Kind:
    """What the first bytes (a dozen is enough) say, after decompression."""
    if len(head) >= 2 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return "pickle"
    if head.startswith(b"PK\x03\x04"):
        return "skops"
    # An ONNX file is a protobuf that starts with field 1 (ir_version), a small varint, then field 2 or 8.
    if len(head) >= 3 and head[0] == 0x08 and 1 <= head[1] <= 20 and head[2] in (0x12, 0x42, 0x3A):
        return "onnx"
    return "unknown"


def decompressed(file: IO[bytes]) -> tuple[IO[bytes], bool]:
    """A stream of the content of `file`, which is at its start, and whether it was compressed.

    The stream raises OSError, EOFError, zlib.error or lzma.LZMAError for a broken file.
    """
    head = file.read(6)
    file.seek(0)
    inflate = _inflate_for(head)
    if inflate is None:
        return file, False
    return io.BufferedReader(Inflated(file, inflate), CHUNK), True


def _inflate_for(head: bytes) -> Inflate | None:
    if head.startswith(b"\x1f\x8b"):
        return Zlib(zlib.MAX_WBITS | 16)  # with gzip's header
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    if head.startswith((b"\xfd7zXZ\x00", b"\x5d\x00\x00")):
        return lzma.LZMADecompressor()
    # Zlib's two bytes: method 8 with a window, and a multiple of 31 (RFC 1950); 0x08 alone starts an ONNX file.
    if len(head) >= 2 and head[0] & 0x0F == 8 and head[0] != 0x08 and int.from_bytes(head[:2], "big") % 31 == 0:
        return Zlib(zlib.MAX_WBITS)
    return None
