"""`DecisionEngine`: the selected engine, swapped while it serves; uploads are checked and tried here too."""

import asyncio
import zlib
from typing import Any

import orjson

from engines.canonical import restored
from engines.catalogue import EngineEntry
from engines.intake import EngineOrder
from services.composition.parts import open_host
from services.deployments.process import begin
from services.live.engine_room import EngineRoom
from services.live.engine_swaps import EngineOrdered
from services.live.selection import EngineSelection
from services.settings import Settings
from services.store.opening import open_store


class DecisionEngine:
    """A shell around `EngineRoom`; it holds what is selected before Serve calls it ready."""

    def __init__(self, settings: Settings) -> None:
        begin("decision_engine", settings)
        self._room = EngineRoom(open_host(settings), EngineSelection(open_store(settings)))
        self._room.start()

    async def decide(self, question: bytes) -> bytes:
        """A compressed `DecisionInput` in, a compressed `DecisionOutput` out."""
        return await asyncio.to_thread(self._decide, question)

    async def admit(self, text: bytes, order: EngineOrder) -> EngineEntry:
        """See `EngineRoom.admit`."""
        return await asyncio.to_thread(self._room.admit, text, order)

    async def test(self, engine_id: str, config: dict[str, Any], question: bytes) -> bytes:
        """See `EngineRoom.test`; a compressed `DecisionInput` in, compressed JSON out."""
        return await asyncio.to_thread(self._test, engine_id, config, question)

    async def prepare(self, ordered: EngineOrdered) -> dict[str, Any]:
        """See `EngineReplicas`."""
        return await asyncio.to_thread(self._room.prepare, ordered)

    async def activate(self, generation: int) -> None:
        """See `EngineReplicas`."""
        await asyncio.to_thread(self._room.activate, generation)

    async def abort(self, generation: int) -> None:
        """See `EngineReplicas`."""
        await asyncio.to_thread(self._room.abort, generation)

    def _decide(self, question: bytes) -> bytes:
        return zlib.compress(self._room.decide(restored(question)).model_dump_json().encode(), 1)

    def _test(self, engine_id: str, config: dict[str, Any], question: bytes) -> bytes:
        return zlib.compress(orjson.dumps(self._room.test(engine_id, config, restored(question))), 1)

    def __del__(self) -> None:
        room = getattr(self, "_room", None)
        if room is not None:
            room.stop()
