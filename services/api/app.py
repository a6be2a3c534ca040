"""The HTTP application: every router under the gate, every error a problem document."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog
from fastapi import FastAPI

from services.api import (
    accuracy,
    auth,
    compare,
    decide,
    drift,
    engines,
    events,
    experiments,
    gap_filler,
    inference_protocol,
    live,
    models,
    operations,
    predict,
    predict_batch,
    problems,
    replay,
)
from services.api.gate import Gate
from services.api.house import House
from services.api.stream import USUAL_PACE, StreamPace
from services.release import RELEASE

RECONCILE_S = 1.0
_log = structlog.get_logger(__name__)
NOUNS = (
    compare,
    models,
    engines,
    replay,
    gap_filler,
    predict,
    predict_batch,
    decide,
    live,
    events,
    accuracy,
    drift,
    experiments,
    auth,
    operations,
    inference_protocol,
)


def create_app(
    opening: Callable[[], AbstractAsyncContextManager[House]], stream_pace: StreamPace = USUAL_PACE
) -> FastAPI:
    """The application of one process. Nothing is built before its lifespan enters `opening`, which yields the house."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opening() as house:
            app.state.house = house
            # Whoever is asked here must get what the others answer, from the first request on.
            await _catch_up(house)
            house.feed.start()
            reconciling = asyncio.create_task(_reconcile(house))
            try:
                yield
            finally:
                reconciling.cancel()
                await house.feed.stop()
                await asyncio.to_thread(house.experiments.close)

    api = FastAPI(
        title="CloudOptim ML Server",
        version=RELEASE,
        description="Inference only: models and decision engines for AWS Spot cost optimisation.",
        lifespan=lifespan,
        redoc_url=None,
    )
    # Flat, not by include_router, which hides the routes that the gate looks up.
    api.router.routes.extend(route for noun in NOUNS for route in noun.router.routes)
    api.state.stream_pace = stream_pace
    problems.install(api)
    api.add_middleware(Gate, api=api)
    return api


async def _reconcile(house: House) -> None:
    """Every second: answer with the version that the store points to, also after a swap elsewhere."""
    while True:
        await asyncio.sleep(RECONCILE_S)
        await _catch_up(house)


async def _catch_up(house: House) -> None:
    try:
        await asyncio.to_thread(lambda: house.slots.reconcile(house.activations.all()))
    except Exception:  # noqa: BLE001 - the next second tries again, and readiness shows the generation
        _log.exception("reconcile_failed")
    try:
        await asyncio.to_thread(house.experiments.follow)
    except Exception:  # noqa: BLE001 - likewise; meanwhile what ran goes on
        _log.exception("experiments_not_followed")
