"""Scores from the event loop: a compiled model answers on the spot, a confined one is awaited; nobody else waits."""

import asyncio
from abc import ABC, abstractmethod

from services.errors import ModelBusy
from services.models.held import Loan
from services.models.scorer import Matrix, Scorer, Vector
from services.models.slots import Slots

LOOKS = 5


class AwaitedScorer(ABC):
    """What a `Scorer` is as well when its answer comes from another process."""

    @abstractmethod
    async def score_soon(self, matrix: Matrix) -> Vector:
        """`Scorer.score`, without keeping the event loop waiting; raises `ModelUnavailable` and `Unavailable` too."""


async def score_soon(scorer: Scorer, matrix: Matrix) -> Vector:
    """float64[n, features] → float64[n], of any scorer; raises what its own `score` does."""
    if isinstance(scorer, AwaitedScorer):
        return await scorer.score_soon(matrix)
    return scorer.score(matrix)


async def lend_soon(slots: Slots, model_id: str) -> Loan:
    """`Slots.lend_version`, loading off the event loop; a caller that goes away meanwhile leaves no loan behind."""
    for _ in range(LOOKS):
        if (loan := slots.lend_loaded(model_id)) is not None:
            return loan
        await asyncio.to_thread(slots.keep, model_id)
    raise ModelBusy(model_id, 0)
