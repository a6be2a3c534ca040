"""Where an upload lives until it is let in: one locked folder each, gone after a refusal or a crash."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from ulid import ULID

from services.errors import TooLarge

LOCK = ".lock"
UPLOAD = "upload"


class Staging:
    """The staging folder of one registry; several processes may receive at once.

    Each upload holds a lock on its folder that ends with its process, so a sweep can tell what a crash left behind.
    """

    def __init__(self, root: Path) -> None:
        """Open, creating the folder and removing what crashed uploads left."""
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        self.sweep()

    def open(self, limit_bytes: int) -> "Staged":
        """Begin an upload of at most `limit_bytes`."""
        folder = self._root / str(ULID())
        with self._turn():
            folder.mkdir(mode=0o700)
            lock = _lock(folder)
        if lock is None:
            raise OSError(f"{folder} was locked by another process while it was made")
        return Staged(folder, lock, limit_bytes)

    def sweep(self) -> int:
        """Remove folders whose process has ended; how many went."""
        gone = 0
        with self._turn():
            for folder in self._root.iterdir():
                if not folder.is_dir() or len(folder.name) != 26:
                    continue
                lock = _lock(folder)
                if lock is not None:
                    shutil.rmtree(folder, ignore_errors=True)
                    os.close(lock)
                    gone += 1
        return gone

    @contextmanager
    def _turn(self) -> Iterator[None]:
        descriptor = os.open(self._root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class Staged:
    """One upload: write chunks, `seal`, then hand it to the intake; leaving the `with` block removes what is left."""

    def __init__(self, folder: Path, lock: int, limit_bytes: int) -> None:
        """Made by `Staging.open`; `lock` is the descriptor that holds the folder."""
        self.folder = folder
        self.path = folder / UPLOAD
        self.size_bytes = 0
        self._lock = lock
        self._limit = limit_bytes
        self._hash = hashlib.sha256()
        self._sha256 = ""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file: IO[bytes] = os.fdopen(descriptor, "wb")

    @classmethod
    def adopt(cls, folder: Path, size_bytes: int, sha256: str) -> "Staged":
        """A sealed upload that another process of the server holds, and will remove."""
        adopted = cls.__new__(cls)
        adopted.folder, adopted.path, adopted.size_bytes = folder, folder / UPLOAD, size_bytes
        adopted._lock, adopted._limit, adopted._sha256 = -1, size_bytes, sha256
        adopted._file = adopted.path.open("rb")
        adopted._file.close()
        return adopted

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._sha256 or self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Add bytes; raises `TooLarge` as soon as the limit is passed."""
        self.size_bytes += len(chunk)
        if self.size_bytes > self._limit:
            self.discard()
            raise TooLarge(self._limit)
        self._hash.update(chunk)
        self._file.write(chunk)

    def seal(self) -> None:
        """Everything is written: bring it to the disk."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def move_to(self, target: Path) -> None:
        """Rename the sealed file within the same file system."""
        self.seal()
        self.path.rename(target)

    def discard(self) -> None:
        """Remove it and all that was made of it; nothing happens the second time."""
        self._file.close()
        if self._lock >= 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> "Staged":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock, or None when another has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
