"""The decision desk of a server that is one process, and how engines are wired in any."""

import asyncio
from typing import Any

from engines.catalogue import EngineEntry
from engines.contract import DecisionInput, DecisionOutput
from engines.intake import EngineOrder
from services.composition.parts import Parts, open_catalogue
from services.live.engine_room import EngineRoom
from services.live.engine_swaps import EngineOrdered, EngineReplicas, EngineSwaps
from services.live.selection import EngineSelection
from services.models.shelf import Shelf
from services.store.turns import Result


class Decisions:
    """A `DecisionDesk` over the engine room of this process."""

    def __init__(self, room: EngineRoom) -> None:
        self._room = room

    async def decide(self, given: DecisionInput) -> DecisionOutput:
        """See `DecisionDesk`."""
        return await asyncio.to_thread(self._room.decide, given)

    async def admit(self, text: bytes, order: EngineOrder) -> EngineEntry:
        """See `DecisionDesk`."""
        return await asyncio.to_thread(self._room.admit, text, order)

    async def test(self, engine_id: str, config: dict[str, Any], given: DecisionInput) -> dict[str, Any]:
        """See `DecisionDesk`."""
        return await asyncio.to_thread(self._room.test, engine_id, config, given)

    async def prepare(self, ordered: EngineOrdered) -> dict[str, Any]:
        """See `EngineReplicas`."""
        return await asyncio.to_thread(self._room.prepare, ordered)

    async def abort(self, generation: int) -> None:
        """See `EngineReplicas`."""
        await asyncio.to_thread(self._room.abort, generation)

    async def activate(self, generation: int) -> None:
        """See `EngineReplicas`."""
        await asyncio.to_thread(self._room.activate, generation)


def open_engine_swaps(parts: Parts, replicas: EngineReplicas) -> EngineSwaps:
    """How engines are selected, counted in the metrics."""

    def told(result: Result) -> None:
        parts.metrics.swaps.labels(what="engine", result=result).inc()

    return EngineSwaps(
        parts.store,
        EngineSelection(parts.store),
        open_catalogue(parts.settings),
        Shelf(parts.settings.model_dir),
        parts.activations,
        replicas,
        told,
    )
