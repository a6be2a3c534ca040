"""Steps that tests of uploads share: stage bytes, admit them, and see what is left."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from services.models.intake import Intake
from services.models.registry import Registry
from services.models.version import ModelMetadata, ModelVersion

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMIT = 64 * 1024**2


def upload(intake: Intake, data: bytes, *, name: str = "demo", version: str = "v1", **metadata: Any) -> ModelVersion:
    """Stage and admit, as the API does; `metadata` are fields of `ModelMetadata`."""
    with intake.open(LIMIT) as staged:
        for start in range(0, len(data), 65_536):
            staged.write(data[start : start + 65_536])
        return intake.admit(
            staged,
            name=name,
            version=version,
            trained_until=date(2026, 2, 1),
            metadata=ModelMetadata(**metadata),
            uploaded_by="test",
            filename="model.joblib",
            now=NOW,
        )


def left_behind(registry: Registry) -> list[Path]:
    """Files under the registry's root that are none of its own furniture."""
    furniture = {".lock", "writer.lock"}
    return [path for path in registry.root.rglob("*") if path.is_file() and path.name not in furniture]
