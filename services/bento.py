"""The in-process root: the same API and page on the same core in one process, as `bentoml serve` and tests run it."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.app import create_app
from services.api.house import House
from services.composition.in_process import in_process
from services.composition.page import with_page
from services.settings import Settings
from services.telemetry import configure_logging
from ui.app import build_ui


@asynccontextmanager
async def _from_environment() -> AsyncIterator[House]:
    settings = Settings.load()
    configure_logging(settings.log_level, "server", secrets=settings.secrets())
    async with in_process(settings) as house:
        if settings.admin_token is None and (token := house.keys.create_first()):
            sys.stdout.write(f"Admin token, shown this once: {token}\n")
            sys.stdout.flush()
        yield house


APP = with_page(create_app(_from_environment), build_ui)
# BentoML has routes of these names that know neither our parts nor who asks.
ROOT_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})


class OwnRootRoutes:
    """ASGI middleware: health, readiness and metrics are answered by the application, as under Ray."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or WebSocket."""
        own = scope["type"] == "http" and scope["path"] in ROOT_ROUTES
        await (APP if own else self._app)(scope, receive, send)


def _with_own_root_routes(service: Any) -> Any:
    service.add_asgi_middleware(OwnRootRoutes)
    return service


@_with_own_root_routes
@bentoml.service(name="cloudoptim-ml-server", workers=1, traffic={"timeout": 3600})
@bentoml.asgi_app(APP, path="/")
class Server:
    """CloudOptim ML Server in one process."""
