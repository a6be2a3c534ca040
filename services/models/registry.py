"""The writing side of the model registry: a version is there whole or not at all."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ulid import ULID

from services.errors import ModelExists
from services.models import bento_store
from services.models.shelf import ARTIFACT, COMPILED, READY, REFERENCE, VERSION, Shelf
from services.models.staging import Staged, Staging
from services.models.version import ModelVersion


class Registry(Shelf):
    """Adds and deletes versions; one writer at a time over all processes, readers are never kept waiting.

    A version is built in a staging folder and renamed into the store.
    """

    def __init__(self, root: Path) -> None:
        """Open, creating folders and removing what a crashed writer left."""
        super().__init__(root)
        self._models.mkdir(parents=True, exist_ok=True)
        self.staging = Staging(root / "staging")
        self._deleted = root / "staging" / "deleted"
        self._deleted.mkdir(exist_ok=True)
        with self._writer():
            for folder in self._deleted.iterdir():
                shutil.rmtree(folder, ignore_errors=True)
            for folder in self._models.iterdir():
                bento_store.point_latest(self._models, folder.name)

    def add(
        self, version: ModelVersion, staged: Staged, compiled: bytes | None, reference: bytes | None = None
    ) -> None:
        """Keep a version; the staged file becomes its artifact, `reference` (JSON) its author's sample of rows.

        Raises `ModelExists` when name and version are taken, and then leaves nothing in the store.
        """
        with self._writer():
            target = self._folder(version.model_id)
            if target.exists():
                raise ModelExists(version.model_id)
            folder = bento_store.create(staged.folder / "store", version)
            staged.move_to(folder / ARTIFACT)
            if compiled is not None:
                _write(folder / COMPILED, compiled)
            if reference is not None:
                _write(folder / REFERENCE, reference)
            _write(folder / VERSION, version.model_dump_json(indent=1).encode())
            _write(folder / READY, version.sha256.encode())
            _sync_tree(folder)
            target.parent.mkdir(exist_ok=True)
            folder.rename(target)
            _sync(target.parent)
            _sync(self._models)
            bento_store.point_latest(self._models, version.name)

    def delete(self, model_id: str) -> None:
        """Remove a version at once for all readers; raises `ModelNotFound`. Whether it is in use, the caller knows."""
        with self._writer():
            version = self.get(model_id)
            doomed = self._deleted / str(ULID())
            self._folder(version.model_id).rename(doomed)
            _sync(self._models / version.name)
            _sync(self._deleted)
            bento_store.point_latest(self._models, version.name)
            _sync(self._models)
        shutil.rmtree(doomed, ignore_errors=True)

    @contextmanager
    def _writer(self) -> Iterator[None]:
        """The lock goes with the process that held it."""
        descriptor = os.open(self.root / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync(path)
