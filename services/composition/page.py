"""The web page beside the API in one process: /ui and everything below it, the rest is the API's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

PATH = "/ui"


def with_page(api: FastAPI, build_page: Callable[[], FastAPI]) -> Starlette:
    """One application of both; `build_page` is called in a thread while the API opens, for Gradio takes seconds.

    The API keeps its lifespan, and its gate in front of everything that is not the page.
    """
    page = _Page()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        building = asyncio.create_task(asyncio.to_thread(build_page))
        try:
            async with api.router.lifespan_context(api):
                page.app = await building
                async with page.app.router.lifespan_context(page.app):
                    yield
        finally:
            building.cancel()

    routes = [Route(PATH, _slash, methods=["GET"]), Mount(PATH, page), Mount("", api)]
    return Starlette(routes=routes, lifespan=lifespan)


class _Page:
    """The page, as soon as it is built."""

    def __init__(self) -> None:
        self.app: FastAPI | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; none comes before the lifespan has begun."""
        assert self.app is not None
        await self.app(scope, receive, send)


async def _slash(request: Request) -> Response:
    """To the page itself; a browser keeps #code=… across the redirect."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}{PATH}/", 307)
