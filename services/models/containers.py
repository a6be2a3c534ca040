"""Tells what an uploaded file is by its first bytes, and opens compressed ones."""

import bz2
import gzip
import io
import lzma
import zlib
from typing import IO, Literal

Kind = Literal["pickle", "skops", "onnx", "unknown"]

CHUNK = 256 * 1024


class ZlibReader(io.RawIOBase):
    """A zlib stream read forward; Python has readers for the other compressions only."""

    def __init__(self, file: IO[bytes]) -> None:
        """`file` is at the stream's start."""
        self._file = file
        self._inflate = zlib.decompressobj()

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill some of `buffer`; 0 at the end. Raises EOFError for a cut-off stream, OSError for bytes after it."""
        while True:
            if self._inflate.eof:
                if self._inflate.unused_data or self._file.read(1):
                    raise OSError("the compressed part is followed by more bytes")
                return 0
            data = self._inflate.unconsumed_tail or self._file.read(CHUNK)
            if not data:
                raise EOFError("the compressed part is cut off")
            out = self._inflate.decompress(data, len(buffer))
            if out:
                buffer[: len(out)] = out
                return len(out)


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
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file, mode="rb"), True  # type: ignore[return-value]
    if head.startswith(b"BZh"):
        return bz2.BZ2File(file), True
    if head.startswith(b"\xfd7zXZ\x00") or head.startswith(b"\x5d\x00\x00"):
        return lzma.LZMAFile(file), True
    if len(head) >= 2 and head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0 and head[0] != 0x08:
        return io.BufferedReader(ZlibReader(file), CHUNK), True
    return file, False
