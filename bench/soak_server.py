"""A server for the soak: started by the real command, watched from outside, and hurt at a chosen moment."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from services.store.opening import STORE_FILE

INGRESS = "ServeReplica:api:Ingress"
WATCHED = {
    "ingress": INGRESS,
    "model loader": "ServeReplica:api:ModelLoader",
    "live loop": "ray::LiveLoop",
    "gap filler": "ray::GapFiller",
}
PATIENCE_S = 240.0
TOKEN = re.compile(r"co_[0-9a-f]{12}_[A-Za-z0-9_-]+")
# Long enough for every replica to have prepared while the pointer is kept from turning.
HELD_S = 0.5


@dataclass
class SoakServer:
    """A running `cloudoptim up`."""

    process: subprocess.Popen[bytes]
    url: str
    data_dir: Path
    token: str = ""

    def client(self) -> httpx.Client:
        """An HTTP client of the API with the admin token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"{self.url}/api/v1/ml", headers=headers, timeout=60.0, trust_env=False)

    def pids(self, title: str) -> list[int]:
        """The processes below the command whose title holds `title`."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if title in " ".join(child.cmdline()):
                    found.append(child.pid)
            except psutil.Error:
                continue
        return sorted(found)

    def resident(self) -> dict[str, int]:
        """Part and pid → resident bytes."""
        return {
            f"{part} {pid}": psutil.Process(pid).memory_info().rss
            for part, title in WATCHED.items()
            for pid in self.pids(title)
        }

    def ready(self) -> bool:
        """Whether every part says so."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5.0, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def await_ready(self) -> None:
        """Raises TimeoutError."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.ready():
            if time.monotonic() > deadline:
                raise TimeoutError("the server does not become ready")
            time.sleep(0.1)


@contextmanager
def soak_server(folder: Path, replicas: int) -> Iterator[SoakServer]:
    """Serve a simulated market with so many ingress replicas while the block runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ML_SERVER_"))}
    env = {
        **inherited,
        "ML_SERVER_DATA_DIR": str(folder / "data"),
        "ML_SERVER_PORT": str(port),
        "ML_SERVER_WORKERS": str(replicas),
        "GAP_FILLER_REGIONS": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    log = folder / "up.log"
    command = [sys.executable, "-m", "services.cli", "up", "--market", "simulate"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    server = SoakServer(process, f"http://127.0.0.1:{port}", folder / "data")
    try:
        server.token = _token(process, log)
        server.await_ready()
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE_S)


def _token(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """The first key, once the sample models have been set up."""
    deadline = time.monotonic() + PATIENCE_S
    while "Live:" not in (said := log.read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError(said)
        time.sleep(0.1)
    found = TOKEN.search(said)
    if found is None:
        raise TimeoutError(said)
    return found.group()


def kill_between_prepare_and_activate(server: SoakServer, patience_s: float = 20.0) -> int | None:
    """Wait for the next swap, kill a replica that has prepared before the pointer turns; its pid.

    The pointer is kept from turning by holding the store's write lock once the swap has its lease. None when the
    pointer had turned before the lock was there, and when no swap came. The replica that leads the swap is spared.
    """
    with sqlite3.connect(server.data_dir / STORE_FILE, timeout=5.0, isolation_level=None) as store:
        deadline = time.monotonic() + patience_s
        before = _pointers(store)
        while not (leader := _leader(store)):
            if time.monotonic() > deadline:
                return None
        store.execute("BEGIN IMMEDIATE")
        try:
            if _pointers(store) != before or _leader(store) != leader:
                return None
            time.sleep(HELD_S)
            victim = next(pid for pid in server.pids(INGRESS) if pid != leader)
            os.kill(victim, signal.SIGKILL)
        finally:
            store.execute("ROLLBACK")
    return victim


def _leader(store: sqlite3.Connection) -> int | None:
    row = store.execute("SELECT holder FROM leases WHERE name = 'model_swap'").fetchone()
    return int(row[0].partition("@")[0]) if row and row[0] else None


def _pointers(store: sqlite3.Connection) -> list[tuple[str, int]]:
    return list(store.execute("SELECT key, revision FROM documents WHERE kind = 'pointer' ORDER BY key"))
