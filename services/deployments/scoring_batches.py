"""Requests for one confined model, put together while its child is at work; each model has its own queue and thread."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from ray import serve

from services.models.scorer import Matrix, Vector
from services.models.slots import Slots
from services.models.together import score_together

MOST_IN_A_BATCH = 32


class ModelBatches:
    """One model of a `ModelLoader` replica; a slow one fills only its own queue."""

    def __init__(self, slots: Slots, model_id: str) -> None:
        self._slots = slots
        self._model_id = model_id
        self._thread = ThreadPoolExecutor(1, f"scoring-{model_id}")

    async def score(self, matrix: Matrix) -> Vector:
        """See `Scorer.score`; raises what `Slots.lend_version` and the scorer raise."""
        scores: Vector | ValueError = await self._batched(matrix)
        if isinstance(scores, ValueError):
            raise scores
        return scores

    def close(self) -> None:
        """End the thread once it is idle."""
        self._thread.shutdown(wait=False)

    # Nobody is kept waiting for company: what has come while the last batch was scored is the next one.
    @serve.batch(max_batch_size=MOST_IN_A_BATCH, batch_wait_timeout_s=0.0)
    async def _batched(self, asked: list[Matrix]) -> list[Vector | ValueError]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._score, asked)

    def _score(self, asked: list[Matrix]) -> list[Vector | ValueError]:
        with self._slots.lend_version(self._model_id) as lent:
            return score_together(lent.scorer, asked)
