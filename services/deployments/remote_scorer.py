"""A confined model as an ingress scores it: in a `ModelLoader` replica, through the handle, with others' requests."""

import asyncio

import numpy as np
from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

from services.deployments.answering import answered
from services.errors import ModelBusy, ModelTimedOut, Unavailable
from services.models.awaiting import AwaitedScorer
from services.models.confined_scorer import LOAD_S, MOST_WAITING
from services.models.scorer import Matrix, Scorer, Vector
from services.models.version import ModelVersion

# Messages between replicas have at most 4 MiB.
BYTES_AT_ONCE = 1024**2
LIFT_PATIENCE_S = 10.0


class ModelLoaderConfined:
    """A `Confined` over the `ModelLoader` deployment; `loop` is the ingress's own, where alone a handle works."""

    def __init__(self, loader: DeploymentHandle, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self._loader = loader
        self._loop = loop
        self._timeout_s = timeout_s

    def __call__(self, version: ModelVersion) -> Scorer:
        """See `Confined`; loaded there at the first score."""
        return RemoteScorer(self._loader, self._loop, version, self._timeout_s)

    def lift(self, model_id: str) -> None:
        """See `Confined`; in every replica. Called off the event loop."""
        asyncio.run_coroutine_threadsafe(self._lift(model_id), self._loop).result(LIFT_PATIENCE_S)

    async def _lift(self, model_id: str) -> None:
        told = self._loader.broadcast("lift", model_id).results_async(timeout_s=LIFT_PATIENCE_S)
        await answered("ModelLoader", told)


class RemoteScorer(AwaitedScorer):
    """A `Scorer` without a child of its own; nothing of it needs closing."""

    def __init__(
        self, loader: DeploymentHandle, loop: asyncio.AbstractEventLoop, version: ModelVersion, timeout_s: float
    ) -> None:
        self._loader = loader
        self._loop = loop
        self._version = version
        # Its turn comes after one answer of those before, in one batch with those that wait beside it.
        self._patience_s = 2 * timeout_s + LOAD_S
        self._waiting = 0

    @property
    def features(self) -> tuple[str, ...]:
        """See `Scorer`."""
        return self._version.features

    def score(self, matrix: Matrix) -> Vector:
        """See `Scorer`; only off the event loop, and raises as `score_soon` does."""
        return asyncio.run_coroutine_threadsafe(self.score_soon(matrix), self._loop).result()

    async def score_soon(self, matrix: Matrix) -> Vector:
        """See `AwaitedScorer`; on the event loop of the handle."""
        if matrix.ndim != 2 or matrix.shape[1] != len(self.features):
            raise ValueError(f"a matrix of {len(self.features)} columns is needed, not of shape {matrix.shape}")
        if self._waiting >= MOST_WAITING:
            raise ModelBusy(self._version.model_id, self._waiting)
        self._waiting += 1
        try:
            rows = max(1, BYTES_AT_ONCE // (8 * len(self.features)))
            parts = [await self._ask(matrix[start : start + rows]) for start in range(0, len(matrix), rows)]
        finally:
            self._waiting -= 1
        return np.concatenate([np.empty(0), *parts])

    async def _ask(self, rows: Matrix) -> Vector:
        asked = self._loader.score.remote(self._version.model_id, rows)
        try:
            scores: Vector = await asyncio.wait_for(answered("ModelLoader", asked), self._patience_s)
        except RayTaskError as error:
            if isinstance(error.cause, ValueError):
                raise ValueError(str(error.cause)) from None
            raise
        except TimeoutError as error:
            raise ModelTimedOut(self._version.model_id, self._patience_s) from error
        if scores.shape != (len(rows),):
            raise Unavailable("ModelLoader", "it answered for another number of rows")
        return scores

    def close(self) -> None:
        """See `Scorer`; the loader ends children that nobody asks for."""
