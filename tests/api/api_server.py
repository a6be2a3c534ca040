"""A real server in a thread of the test process: uvicorn, the whole application, its lifespan and both workers."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn
from fastapi import FastAPI

from gapfill.market.server import listen
from services.api.app import create_app
from services.api.house import House
from services.api.stream import USUAL_PACE, StreamPace
from services.composition.in_process import in_process
from services.keys import ROLES, Role
from services.settings import Settings

ADMIN_TOKEN = "the-admin-token-of-the-api-tests-0123456789"
API = "/api/v1/ml"
PATIENCE_S = 60.0
Found = TypeVar("Found")


def until(look: Callable[[], Found], patience_s: float = PATIENCE_S) -> Found:
    """What `look` finds, as soon as it finds something; raises AssertionError when it never does."""
    deadline = time.monotonic() + patience_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing after {patience_s} s"
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class Served:
    """A running server: its address, its application, one token per role."""

    address: str
    app: FastAPI
    settings: Settings
    tokens: dict[Role, str]

    @property
    def house(self) -> House:
        """What its routers work with."""
        house: House = self.app.state.house
        return house

    def client(self, role: Role | None = "admin", **options: Any) -> httpx.Client:
        """A client that speaks with a role's key, or without any; paths are relative to the API."""
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        return httpx.Client(
            base_url=self.address + API, headers=headers, timeout=60, trust_env=False, verify=False, **options
        )

    def socket_url(self, path: str) -> str:
        """The address of a stream."""
        return self.address.replace("http", "ws", 1) + API + path


def settings_for(folder: Path, **more: str) -> Settings:
    """Small and quick: two regions, three types, a tick every second; `more` are environment names."""
    return Settings.load(
        {
            "ML_SERVER_DATA_DIR": str(folder / "data"),
            "ML_SERVER_ADMIN_TOKEN": ADMIN_TOKEN,
            "GAP_FILLER_REGIONS": "us-east-1,eu-west-1",
            "GAP_FILLER_INSTANCE_TYPES": "m5.large,m5.xlarge,c5.large",
            "LIVE_INTERVAL_SECONDS": "1",
            "DRIFT_WINDOW_SECONDS": "10",
            "MODEL_UPLOAD_MAX_BYTES": str(2 * 1024**2),
            **more,
        }
    )


@contextmanager
def serving(settings: Settings, pace: StreamPace = USUAL_PACE) -> Iterator[Served]:
    """Serve while the block runs, on a free port of 127.0.0.1."""
    app = create_app(lambda: in_process(settings), pace)
    listener = listen(0)
    server = _Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="api", daemon=True)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        assert thread.is_alive(), "the server did not start"
        keys = app.state.house.keys
        tokens = {role: keys.create(f"{role} of the tests", role)[1] for role in ROLES}
        yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", app, settings, tokens)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"


class _Server(uvicorn.Server):
    """Signals belong to the process's main thread, which is pytest's."""

    def install_signal_handlers(self) -> None:
        """None."""
