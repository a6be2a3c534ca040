"""The folder of uploaded engines: one folder per version, there whole or not at all."""

import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from engines.errors import EngineExists, EngineNotFound

SOURCE, RECORD, READY = "engine.py", "engine.json", "READY"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class EngineRecord(BaseModel):
    """One uploaded version as the folder keeps it; `declared_*` is what the class says of itself."""

    model_config = ConfigDict(frozen=True)

    engine_id: str
    name: str
    version: str
    description: str
    declared_name: str
    declared_version: str
    class_name: str
    models: tuple[str, ...] = ()
    config_schema: dict[str, Any]
    config_defaults: dict[str, Any]
    contract: int
    sha256: str
    size_bytes: int
    filename: str  # display text only
    uploaded_at: datetime
    uploaded_by: str


class Uploads:
    """Versions under `root` (DECISION_ENGINE_DIR), as `root`/name/version; the folder may not exist yet.

    A version is built in a staging folder and renamed into place; only those with a READY marker that names the file's
    sha256 are seen. One writer at a time over all processes; readers are never kept waiting.
    """

    def __init__(self, root: Path) -> None:
        """Nothing is read or made yet."""
        self.root = root

    def list(self) -> list[EngineRecord]:
        """All versions, newest upload first."""
        found = [_read(folder) for name in _entries(self.root) for folder in _entries(name)]
        return sorted((r for r in found if r), key=lambda r: (r.uploaded_at, r.engine_id), reverse=True)

    def get(self, engine_id: str) -> EngineRecord | None:
        """One version, or None."""
        folder = self._folder(engine_id)
        return _read(folder) if folder else None

    def text(self, engine_id: str) -> bytes:
        """The file as it was uploaded; raises `EngineNotFound`, also when the file is not what it was."""
        folder, record = self._folder(engine_id), self.get(engine_id)
        try:
            text = (folder / SOURCE).read_bytes() if folder and record else b""
        except OSError as error:
            raise EngineNotFound(engine_id) from error
        if record is None or hashlib.sha256(text).hexdigest() != record.sha256:
            raise EngineNotFound(engine_id)
        return text

    def add(self, record: EngineRecord, text: bytes) -> None:
        """Keep a version; raises `EngineExists`, and then leaves nothing behind."""
        with self._writer() as staging:
            target = self._folder(record.engine_id)
            if target is None or target.exists():
                raise EngineExists(record.engine_id)
            folder = staging / uuid.uuid4().hex
            folder.mkdir(mode=0o700)
            _write(folder / SOURCE, text)
            _write(folder / RECORD, record.model_dump_json(indent=1).encode())
            _write(folder / READY, record.sha256.encode())
            _sync(folder)
            target.parent.mkdir(exist_ok=True)
            folder.rename(target)
            _sync(target.parent)
            _sync(self.root)

    def delete(self, engine_id: str) -> None:
        """Remove a version at once for all readers; raises `EngineNotFound`. Whether it is in use, the caller knows."""
        with self._writer() as staging:
            folder = self._folder(engine_id)
            if folder is None or _read(folder) is None:
                raise EngineNotFound(engine_id)
            folder.rename(staging / uuid.uuid4().hex)
            if not _entries(folder.parent):
                folder.parent.rmdir()
            _sync(self.root)

    def _folder(self, engine_id: str) -> Path | None:
        """Where a version is or would be; None for an id that no upload can have."""
        name, _, version = engine_id.partition(":")
        return self.root / name / version if NAME.fullmatch(name) and NAME.fullmatch(version) else None

    @contextmanager
    def _writer(self) -> Iterator[Path]:
        """The staging folder, emptied of what crashed writers left; the lock goes with the process that held it."""
        staging = self.root / ".staging"
        staging.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / ".writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _empty(staging)
            yield staging
            _empty(staging)
        finally:
            os.close(descriptor)


def _read(folder: Path) -> EngineRecord | None:
    """None for what is not whole; a reader may meet a folder that is just being deleted."""
    try:
        marker = (folder / READY).read_text()
        record = EngineRecord.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return None
    return record if marker == record.sha256 else None


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []


def _empty(staging: Path) -> None:
    for folder in staging.iterdir():
        shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
