"""`Ingress`: HTTP, uploads, WebSockets, and predictions from its own memory."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from services.api.app import create_app
from services.api.house import House
from services.composition.defaults import apply_defaults
from services.composition.house import follow_board, open_house
from services.composition.parts import Parts, open_parts
from services.deployments.desks import RayDesks
from services.deployments.process import begin
from services.deployments.reconciler import Reconciler
from services.errors import Unavailable
from services.live.selection import EngineSelection
from services.release import RELEASE
from services.settings import Settings
from services.store.protocol import Store

MARKET_PATIENCE_S = 60.0


@serve.ingress()
class Ingress:
    """A shell around the API; it also keeps the two named actors alive."""

    def __init__(self, settings: Settings, loader: DeploymentHandle, engine: DeploymentHandle) -> None:
        begin("ingress", settings)
        self._settings = settings
        self._loader = loader
        self._engine = engine

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The application that this replica serves."""
        return create_app(self._open)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[House]:
        parts = await asyncio.to_thread(_parts, self._settings)
        reconciler = Reconciler(self._settings, RELEASE)
        desks = RayDesks(self._loader, self._engine, reconciler)
        keeping = asyncio.create_task(reconciler.run())
        market_id = await asyncio.to_thread(_bound_market, parts.store)
        house = await asyncio.to_thread(open_house, parts, desks, market_id)
        following = asyncio.create_task(follow_board(house, desks))
        try:
            yield house
        finally:
            following.cancel()
            keeping.cancel()
            await asyncio.to_thread(house.keys.close)


def _parts(settings: Settings) -> Parts:
    parts = open_parts(settings)
    apply_defaults(settings, parts.activations, EngineSelection(parts.store))
    return parts


def _bound_market(store: Store) -> str:
    """The market that the gap filler has bound the store to; it is the first to speak to it."""
    deadline = time.monotonic() + MARKET_PATIENCE_S
    while time.monotonic() < deadline:
        if bound := store.get("market", "bound"):
            return str(bound.value["market_id"])
        time.sleep(0.1)
    raise Unavailable("market", "nobody has spoken to it yet")
