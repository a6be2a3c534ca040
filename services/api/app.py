"""The HTTP application: every router under the gate, every error a problem document."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp

from services.api import auth, decide, engines, gap_filler, live, models, operations, predict, problems
from services.api.asking import PREFIX
from services.api.gate import Gate
from services.api.house import House

RECONCILE_S = 1.0
_log = structlog.get_logger(__name__)
NOUNS = (models, engines, gap_filler, predict, decide, live, auth)


def create_app(house: House, *, on_start: Callable[[], None] | None = None) -> ASGIApp:
    """The application of one process; its lifespan follows the feed and the active pointers."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        house.feed.start()
        if on_start:
            on_start()
        reconciling = asyncio.create_task(_reconcile(house))
        yield
        reconciling.cancel()
        await house.feed.stop()

    api = FastAPI(
        title="CloudOptim ML Server",
        version=house.facts["release"],
        description="Inference only: models and decision engines for AWS Spot cost optimisation.",
        lifespan=lifespan,
        redoc_url=None,
    )
    api.state.house = house
    for noun in NOUNS:
        api.include_router(noun.router, prefix=PREFIX)
    api.include_router(operations.router)
    problems.install(api)
    return Gate(api, api, lambda: house)


def routes_of(app: ASGIApp) -> FastAPI:
    """The application behind the gate, for who walks its routes."""
    assert isinstance(app, Gate)
    return app.api


async def _reconcile(house: House) -> None:
    """Every second: answer with the version that the store points to, also after a swap elsewhere."""
    while True:
        try:
            await asyncio.to_thread(lambda: house.slots.reconcile(house.activations.all()))
        except Exception:  # noqa: BLE001 - the next second tries again, and readiness shows the generation
            _log.exception("reconcile_failed")
        await asyncio.sleep(RECONCILE_S)
