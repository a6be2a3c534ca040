"""The desks of a server on Ray: deployment handles and named actors behind the same ports."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from prometheus_client.core import Metric
from ray.exceptions import RayError
from ray.serve.handle import DeploymentHandle

from gapfill.jobs import Job
from gapfill.plan import Analysis
from gapfill.requests import FillRequest
from services.api.house import UploadOrder
from services.deployments.actors import GAP_FILLER, LIVE_LOOP, NAMESPACE
from services.deployments.answering import answered
from services.deployments.engine_desk import Decisions
from services.deployments.reconciler import Reconciler
from services.deployments.replicas import IngressReplicas
from services.errors import Unavailable
from services.live.board import FeatureBlock
from services.models.staging import Staged
from services.models.version import ModelVersion

BLOCK_PATIENCE_S = 5.0
FOLLOW_PATIENCE_S = 5.0
FAMILIES_PATIENCE_S = 2.0


def actor(name: str) -> Any:
    """The named actor; raises `Unavailable` while it is not there."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError as error:
        raise Unavailable(name, "it is being started") from error


class Models:
    """A `ModelDesk` over the `ModelLoader` deployment; the file is handed over by its place, never by value."""

    def __init__(self, loader: DeploymentHandle) -> None:
        self._loader = loader

    async def admit(self, staged: Staged, order: UploadOrder) -> ModelVersion:
        """See `ModelDesk`."""
        asked = self._loader.admit.remote(str(staged.folder), staged.size_bytes, staged.sha256, order)
        admitted: ModelVersion = await answered("ModelLoader", asked)
        return admitted

    async def delete(self, model_id: str) -> None:
        """See `ModelDesk`."""
        await answered("ModelLoader", self._loader.delete.remote(model_id))
        with contextlib.suppress(Unavailable):  # one that starts again has nothing to forget
            told = self._loader.broadcast("forget", model_id).results_async(timeout_s=FOLLOW_PATIENCE_S)
            await answered("ModelLoader", told)

    async def families(self) -> Sequence[Metric]:
        """What every replica has counted."""
        told = self._loader.broadcast("families").results_async(timeout_s=FAMILIES_PATIENCE_S)
        found: list[list[Metric]] = await answered("ModelLoader", told)
        return [family for families in found for family in families]


class Gaps:
    """A `GapDesk` over the `GapFiller` actor."""

    async def analyze(self, request: FillRequest) -> Analysis:
        """See `GapDesk`."""
        return await answered(GAP_FILLER, actor(GAP_FILLER).analyze.remote(request))

    async def submit(self, request: FillRequest, requested_by: str) -> Job:
        """See `GapDesk`."""
        return await answered(GAP_FILLER, actor(GAP_FILLER).submit.remote(request, requested_by))

    async def cancel(self, task_id: str) -> Job:
        """See `GapDesk`."""
        return await answered(GAP_FILLER, actor(GAP_FILLER).cancel.remote(task_id))

    async def retry(self, task_id: str) -> Job:
        """See `GapDesk`."""
        return await answered(GAP_FILLER, actor(GAP_FILLER).retry.remote(task_id))

    async def ensure_filled(self) -> Job | None:
        """See `GapDesk`."""
        return await answered(GAP_FILLER, actor(GAP_FILLER).ensure_filled.remote())

    async def import_file(self, path: Path, label: str) -> dict[str, int]:
        """See `GapDesk`."""
        return await answered(GAP_FILLER, actor(GAP_FILLER).import_file.remote(str(path), label))

    async def places(self) -> dict[str, list[str]]:
        """See `GapDesk`."""
        return await answered(GAP_FILLER, actor(GAP_FILLER).places.remote())


class RayDesks:
    """See `Desks`."""

    def __init__(
        self, ingress: DeploymentHandle, loader: DeploymentHandle, engine: DeploymentHandle, reconciler: Reconciler
    ) -> None:
        self.models = Models(loader)
        self.replicas = IngressReplicas(ingress)
        self.decisions = Decisions(engine)
        self.gaps = Gaps()
        self._reconciler = reconciler

    async def block_after(self, seq: int) -> FeatureBlock | None:
        """See `Desks`; copied, for what is in Ray's object store dies with its owner."""
        loop = actor(LIVE_LOOP)
        block: FeatureBlock | None = await answered(LIVE_LOOP, loop.block_after.remote(seq, BLOCK_PATIENCE_S))
        return block.copied() if block else None

    async def health(self) -> dict[str, tuple[bool, str]]:
        """See `Desks`."""
        states = self._reconciler.states
        return {"gap_filler": states[GAP_FILLER], "live_loop": states[LIVE_LOOP]}

    async def families(self) -> Sequence[Metric]:
        """See `Desks`; an actor that is away has nothing to say."""
        found: list[Metric] = []
        for name in (GAP_FILLER, LIVE_LOOP):
            try:
                told = answered(name, actor(name).families.remote())
                found.extend(await asyncio.wait_for(told, FAMILIES_PATIENCE_S))
            except (Unavailable, RayError, TimeoutError):
                continue
        with contextlib.suppress(Unavailable, RayError, TimeoutError):
            found.extend(await self.models.families())
        return found
