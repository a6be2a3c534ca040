"""`ModelLoader`: the one writer of the model registry, where uploads are examined and confined models scored."""

import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from services.api.house import UploadOrder
from services.composition.in_process import admit, open_intake
from services.composition.parts import open_loader
from services.deployments.process import begin
from services.deployments.scoring_batches import ModelBatches
from services.models.registry import Registry
from services.models.scorer import Matrix, Vector
from services.models.slots import Slots
from services.models.staging import Staged
from services.models.version import ModelVersion
from services.settings import Settings
from services.telemetry import Metrics

# Children that stay loaded; the one that was asked longest ago makes room.
CHILDREN_KEPT = 16


class ModelLoader:
    """A shell around `Intake`, `Registry`, and the `Slots` of what is scored apart."""

    def __init__(self, settings: Settings) -> None:
        begin("model_loader", settings)
        self._registry = Registry(settings.model_dir)
        self._intake = open_intake(self._registry, settings)
        self._metrics = Metrics(CollectorRegistry())
        self._loader = open_loader(settings, self._metrics)
        self._slots = Slots(self._loader, lift=self._loader.lift, extras=CHILDREN_KEPT)
        self._batches: dict[str, ModelBatches] = {}

    async def admit(self, folder: str, size_bytes: int, sha256: str, order: UploadOrder) -> ModelVersion:
        """Examine and keep an upload that an ingress has staged; the ingress removes what is left."""
        staged = Staged.adopt(Path(folder), size_bytes, sha256)
        return await asyncio.to_thread(admit, self._intake, staged, order)

    async def delete(self, model_id: str) -> None:
        """Remove a version."""
        await asyncio.to_thread(self._registry.delete, model_id)

    async def score(self, model_id: str, matrix: Matrix) -> Vector:
        """See `Scorer.score`, of a version that is not compiled; raises what loading and scoring raise."""
        batches = self._batches.get(model_id)
        if batches is None:
            batches = self._batches[model_id] = ModelBatches(self._slots, model_id)
        return await batches.score(matrix)

    async def lift(self, model_id: str) -> None:
        """Give a version another try, however often it has broken down."""
        await asyncio.to_thread(self._loader.lift, model_id)

    async def forget(self, model_id: str) -> None:
        """End the child of a version that is there no more."""
        await asyncio.to_thread(self._slots.discard, model_id)
        if batches := self._batches.pop(model_id, None):
            batches.close()

    async def families(self) -> list[Metric]:
        """What it has counted."""
        return list(self._metrics.registry.collect())
