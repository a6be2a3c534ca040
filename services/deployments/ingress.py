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
from services.composition.house import follow_board, open_house, settle_board
from services.composition.parts import Parts, open_parts
from services.deployments.desks import RayDesks
from services.deployments.process import begin
from services.deployments.reconciler import Reconciler
from services.deployments.remote_scorer import ModelLoaderConfined
from services.errors import Unavailable
from services.live.selection import EngineSelection
from services.models.activation import Pointer
from services.models.loading import Confined
from services.models.slots import Slots
from services.release import RELEASE
from services.settings import Settings
from services.store.protocol import Store

BOARD_PATIENCE_S = 2.0
MARKET_PATIENCE_S = 180.0  # the gap filler is a process of its own, and a busy machine takes its time


@serve.ingress()
class Ingress:
    """A shell around the API; it also keeps the two named actors alive."""

    def __init__(self, settings: Settings, loader: DeploymentHandle, engine: DeploymentHandle) -> None:
        begin("ingress", settings)
        self._settings = settings
        self._loader = loader
        self._engine = engine
        self._slots: Slots | None = None

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The application that this replica serves."""
        return create_app(self._open)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[House]:
        here = serve.get_replica_context()
        itself = serve.get_deployment_handle(here.deployment, here.app_name)
        timeout_s = self._settings.model_score_timeout_s
        confined = ModelLoaderConfined(self._loader, asyncio.get_running_loop(), timeout_s)
        parts = await asyncio.to_thread(_parts, self._settings, confined)
        reconciler = Reconciler(self._settings, RELEASE)
        desks = RayDesks(itself, self._loader, self._engine, reconciler)
        self._slots = parts.slots
        keeping = asyncio.create_task(reconciler.run())
        market_id = await asyncio.to_thread(_bound_market, parts.store)
        house = await asyncio.to_thread(open_house, parts, desks, market_id)
        await settle_board(house, desks, BOARD_PATIENCE_S)
        following = asyncio.create_task(follow_board(house, desks))
        try:
            yield house
        finally:
            following.cancel()
            keeping.cancel()
            await asyncio.to_thread(house.spool.close)
            await asyncio.to_thread(house.keys.close)

    async def prepare_model(self, model_id: str, generation: int) -> None:
        """See `Slots.prepare`."""
        await asyncio.to_thread(self._own_slots().prepare, model_id, generation)

    async def discard_model(self, model_id: str) -> None:
        """See `Slots.discard`."""
        await asyncio.to_thread(self._own_slots().discard, model_id)

    async def activate_model(self, pointer: Pointer) -> None:
        """See `Slots.activate`."""
        await asyncio.to_thread(self._own_slots().activate, pointer)

    def _own_slots(self) -> Slots:
        if self._slots is None:
            raise Unavailable("ingress", "a replica is starting")
        return self._slots


def _parts(settings: Settings, confined: Confined) -> Parts:
    parts = open_parts(settings, confined)
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
