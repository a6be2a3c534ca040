"""A whole server with its page in one process, for the browser test; it prints its sign-in link.

python -m tests.e2e.page_server      settings and market come from the environment
"""

import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from services.api.app import create_app
from services.api.house import House
from services.composition.in_process import in_process
from services.composition.page import with_page
from services.settings import Settings
from services.telemetry import configure_logging
from ui.app import build_ui


def main() -> None:
    """Serve on a free port of the loopback."""
    settings = Settings.load()
    configure_logging("warning", "page-server", secrets=settings.secrets())
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"

    @asynccontextmanager
    async def opening() -> AsyncIterator[House]:
        async with in_process(settings) as house:
            assert settings.admin_token is not None
            code = house.sessions.create_code(house.keys.verify(settings.admin_token.get_secret_value()))
            sys.stdout.write(json.dumps({"address": address, "link": f"{address}/ui#code={code}"}) + "\n")
            sys.stdout.flush()
            yield house

    server = uvicorn.Server(uvicorn.Config(with_page(create_app(opening), build_ui), log_config=None, lifespan="on"))
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
