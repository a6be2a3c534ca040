"""The reading side of the model registry: no lock, no BentoML, safe beside a writer."""

import difflib
import hashlib
import json
import re
from pathlib import Path

from services.errors import ModelNotFound
from services.models.version import NAME_PATTERN, ModelVersion

ARTIFACT = "artifact.bin"
COMPILED = "compiled.bin"
REFERENCE = "reference.json"
VERSION = "version.json"
READY = "READY"

NAME = re.compile(NAME_PATTERN)
SampleRows = list[dict[str, float | None]]


class Shelf:
    """Model versions under `root` (MODEL_UPLOAD_DIR), each one folder of the BentoML store `root`/bentoml.

    Only folders with a READY marker that names the artifact's sha256 are seen; they appear and go by one rename.
    """

    def __init__(self, root: Path) -> None:
        """Nothing is read or made yet."""
        self.root = root
        self._models = root / "bentoml" / "models"

    def list(self) -> list[ModelVersion]:
        """All versions, newest upload first."""
        found = [_read(folder) for name in _entries(self._models) for folder in _entries(name)]
        return sorted((v for v in found if v), key=lambda v: (v.uploaded_at, v.model_id), reverse=True)

    def get(self, model_id: str) -> ModelVersion:
        """One version; raises `ModelNotFound`."""
        version = _read(self._folder(model_id))
        if version is None:
            raise self._missing(model_id)
        return version

    def artifact_path(self, model_id: str) -> Path:
        """The uploaded file, byte for byte; raises `ModelNotFound`."""
        return self._folder(self.get(model_id).model_id) / ARTIFACT

    def compiled(self, model_id: str) -> bytes:
        """The compiled form; raises `ModelNotFound`, also for a version that has none."""
        try:
            return (self._folder(self.get(model_id).model_id) / COMPILED).read_bytes()
        except FileNotFoundError as error:
            raise ModelNotFound(model_id) from error

    def reference(self, model_id: str) -> SampleRows:
        """The author's reference sample, feature → value; empty where none was sent. Raises `ModelNotFound`."""
        try:
            found = (self._folder(self.get(model_id).model_id) / REFERENCE).read_bytes()
        except FileNotFoundError:
            return []
        rows: SampleRows = json.loads(found)
        return rows

    def intact(self, model_id: str) -> bool:
        """Whether the artifact still has the sha256 it was uploaded with; raises `ModelNotFound`."""
        version = self.get(model_id)
        with self.artifact_path(model_id).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == version.sha256

    def _folder(self, model_id: str) -> Path:
        """Where a version is or would be; raises `ModelNotFound` for an id that none can have."""
        name, _, version = model_id.lower().partition(":")
        if not NAME.fullmatch(name) or not NAME.fullmatch(version):
            raise self._missing(model_id)
        return self._models / name / version

    def _missing(self, model_id: str) -> ModelNotFound:
        known = [version.model_id for version in self.list()]
        return ModelNotFound(model_id, tuple(difflib.get_close_matches(model_id.lower(), known, n=3)))


def _entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing when a writer has just removed it, or where it is a file."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read(folder: Path) -> ModelVersion | None:
    """None for what is not whole; a reader may meet a folder that is just being deleted."""
    try:
        marker = (folder / READY).read_text()
        version = ModelVersion.model_validate_json((folder / VERSION).read_bytes())
    except (OSError, ValueError):
        return None
    return version if marker == version.sha256 else None
