"""`ModelLoader`: the one writer of the model registry, and where uploads are examined."""

import asyncio
from pathlib import Path

from gapfill.features.registry import NAMES
from services.api.house import UploadOrder
from services.composition.in_process import admit
from services.deployments.process import begin
from services.models.intake import Intake
from services.models.registry import Registry
from services.models.staging import Staged
from services.models.version import ModelVersion
from services.settings import Settings


class ModelLoader:
    """A shell around `Intake` and `Registry`."""

    def __init__(self, settings: Settings) -> None:
        begin("model_loader", settings)
        self._registry = Registry(settings.model_dir)
        self._intake = Intake(self._registry, NAMES)

    async def admit(self, folder: str, size_bytes: int, sha256: str, order: UploadOrder) -> ModelVersion:
        """Examine and keep an upload that an ingress has staged; the ingress removes what is left."""
        staged = Staged.adopt(Path(folder), size_bytes, sha256)
        return await asyncio.to_thread(admit, self._intake, staged, order)

    async def delete(self, model_id: str) -> None:
        """Remove a version."""
        await asyncio.to_thread(self._registry.delete, model_id)
