"""`DecisionEngine`: the selected engine, swapped while it serves."""

import asyncio

from engines.canonical import restored
from services.composition.parts import open_host
from services.deployments.process import begin
from services.live.deciding import follow_selection
from services.live.selection import EngineSelection
from services.settings import Settings
from services.store.opening import open_store


class DecisionEngine:
    """A shell around `EngineHost`."""

    def __init__(self, settings: Settings) -> None:
        begin("decision_engine", settings)
        self._host = open_host(settings)
        self._selection = EngineSelection(open_store(settings))

    async def decide(self, question: bytes) -> bytes:
        """A compressed `DecisionInput` in, a `DecisionOutput` as JSON out."""
        return await asyncio.to_thread(self._decide, question)

    async def follow(self) -> bool:
        """Take up what the store says is selected."""
        return await asyncio.to_thread(follow_selection, self._host, self._selection)

    def _decide(self, question: bytes) -> bytes:
        follow_selection(self._host, self._selection)
        return self._host.decide(restored(question)).model_dump_json().encode()
