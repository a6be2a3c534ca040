"""A server started by the real command, for tests that need the whole of it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

START_PATIENCE_S = 240.0
STOP_PATIENCE_S = 90.0
T = TypeVar("T")
TOKEN = re.compile(r"co_[0-9a-f]{12}_[A-Za-z0-9_-]+")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], T], patience_s: float, what: str) -> T:
    """The first true answer of `look`, asked again and again; fails when there is none in time."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {patience_s:.0f} s: {what}")


@dataclass
class RunningServer:
    """One `cloudoptim up` and how to reach it."""

    process: subprocess.Popen[bytes]
    url: str
    data_dir: Path
    log: Path
    token: str = ""

    @property
    def said(self) -> str:
        """Everything that the command has printed so far."""
        return self.log.read_text()

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client of the API with the admin token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"{self.url}/api/v1/ml", headers=headers, timeout=30.0, trust_env=False, **options)

    def await_word(self, word: str, patience_s: float = START_PATIENCE_S) -> None:
        """Wait until the command has printed `word`; fails at once when it ends before."""

        def look() -> bool:
            if word in self.said:
                return True
            assert self.process.poll() is None, f"the command ended:\n{self.said}"
            return False

        eventually(look, patience_s, f"{word!r} in\n{self.said}")

    def ready(self) -> bool:
        """Whether every part says that it is ready."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5.0, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def pids(self, name: str) -> list[int]:
        """The processes below the command whose title holds `name`."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if name in " ".join(child.cmdline()):
                    found.append(child.pid)
            except psutil.Error:
                continue
        return found

    def interrupt(self) -> int:
        """Ctrl-C, and the command's exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_PATIENCE_S)


def start(data_dir: Path, env: Mapping[str, str], *arguments: str, port: int | None = None) -> RunningServer:
    """Start the command; returns at once."""
    chosen = port or free_port()
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir.parent / f"{data_dir.name}-{chosen}-{time.monotonic_ns()}.log"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ML_SERVER_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "up", *arguments],
            env={
                **inherited,
                "ML_SERVER_DATA_DIR": str(data_dir),
                "ML_SERVER_PORT": str(chosen),
                "AWS_EC2_METADATA_DISABLED": "true",
                **env,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return RunningServer(process, f"http://127.0.0.1:{chosen}", data_dir, log, env.get("ML_SERVER_ADMIN_TOKEN", ""))


@contextmanager
def running(
    data_dir: Path, env: Mapping[str, str], *arguments: str, port: int | None = None
) -> Iterator[RunningServer]:
    """A server that serves while the block runs, and is stopped at its end."""
    server = start(data_dir, env, *arguments, port=port)
    try:
        server.await_word("Serving.")
        if found := TOKEN.search(server.said):
            server.token = found.group()
        yield server
    finally:
        if server.process.poll() is None:
            server.interrupt()
