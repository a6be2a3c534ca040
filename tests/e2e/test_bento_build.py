"""The bento: `bentoml build` takes our sources in, and `bentoml serve` runs the whole server from them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from httpx_ws import WebSocketSession, connect_ws

from gapfill.market.server import build_app
from gapfill.market.simulate import SimulatedMarket
from gapfill.market.threaded import serve_in_thread
from services.release import RELEASE

ROOT = Path(__file__).parents[2]
BENTOML = Path(sys.executable).with_name("bentoml").as_posix()
ADMIN = "an-admin-token-that-only-this-test-knows"
BEARER = {"Authorization": f"Bearer {ADMIN}"}
API = "/api/v1/ml"
DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Built:
    """A bento that was just built, and the BentoML home it lies in."""

    home: Path
    folder: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    home = tmp_path_factory.mktemp("bentoml")
    command = [BENTOML, "build", "--version", RELEASE]
    result = subprocess.run(command, env=clean_env(home), cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return Built(home, home / "bentos" / "cloudoptim-ml-server" / RELEASE)


def clean_env(home: Path) -> dict[str, str]:
    """The environment of a user who has set nothing up."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(home), "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(built: Built, data: Path, settings: dict[str, str]) -> Iterator[str]:
    """`bentoml serve` of the built bento; its address once it answers."""
    port = free_port()
    log = data.with_suffix(".log")
    command = [BENTOML, "serve", str(built.folder), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**clean_env(built.home), **settings, "ML_SERVER_DATA_DIR": str(data), "ML_SERVER_ADMIN_TOKEN": ADMIN},
            cwd=built.home,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_ready(address, process, log)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(DEADLINE_S)


def wait_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until readiness says so; a fresh server is ready when it has prices."""
    deadline = time.monotonic() + DEADLINE_S
    answer = ""
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            response = httpx.get(f"{address}/readyz", timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        answer = response.text
        if response.status_code == 200:
            return
        time.sleep(0.1)
    pytest.fail(f"not ready in time: {answer}\n{log.read_text()}")


@pytest.fixture(scope="module")
def address(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    market = build_app(SimulatedMarket(7, ["us-east-1"], ["m5.large"]))
    with serve_in_thread(market) as prices:
        settings = {
            "AWS_ENDPOINT_URL_EC2": prices,
            "AWS_ENDPOINT_URL_PRICING": prices,
            "AWS_ENDPOINT_URL_STS": prices,
            "AWS_ACCESS_KEY_ID": "anything",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "GAP_FILLER_REGIONS": "us-east-1",
            "GAP_FILLER_INSTANCE_TYPES": "m5.large",
            "LIVE_INTERVAL_SECONDS": "1",
        }
        with served(built, tmp_path_factory.mktemp("served") / "data", settings) as serving:
            yield serving


def test_the_bento_holds_our_sources_and_nothing_of_ours_that_is_not_served(built: Built) -> None:
    kept = {path.relative_to(built.folder / "src").as_posix() for path in (built.folder / "src").rglob("*.py")}
    ours = {
        path.relative_to(ROOT).as_posix()
        for room in ("services", "engines", "gapfill", "ui")
        for path in (ROOT / room).rglob("*.py")
    }
    assert kept == ours
    others = {"tests", "data", "docs", "examples", ".venv", ".git"}
    assert others.isdisjoint(path.name for path in (built.folder / "src").iterdir())


def test_the_bento_holds_the_page_s_own_files(built: Built) -> None:
    static = [path for path in (ROOT / "ui").rglob("*") if path.is_file() and path.suffix in {".js", ".css", ".svg"}]
    assert [path for path in static if not (built.folder / "src" / path.relative_to(ROOT)).is_file()] == []


def test_the_image_gets_the_pinned_packages_from_no_index_of_ours(built: Built) -> None:
    pinned = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line]
    written = (built.folder / "env" / "python" / "requirements.txt").read_text()
    assert set(pinned) <= set(written.splitlines())
    assert "://" not in written
    assert "--index-url" not in (built.folder / "env" / "docker" / "Dockerfile").read_text()


def test_the_image_has_the_user_and_the_folders_that_kubernetes_expects(built: Built) -> None:
    dockerfile = (built.folder / "env" / "docker" / "Dockerfile").read_text()
    pods = (ROOT / "k8s" / "server" / "ray-service.yaml").read_text()
    assert "ARG BENTO_USER_UID=1034" in dockerfile
    assert "runAsUser: 1034" in pods
    assert "ENV VIRTUAL_ENV=/app/.venv" in dockerfile
    assert "ARG BENTO_PATH=/home/bentoml/bento" in dockerfile
    assert "value: /home/bentoml/bento/src" in pods
    assert "libseccomp2" in dockerfile


def test_the_bento_is_the_one_that_kubernetes_names(built: Built) -> None:
    manifest = yaml.safe_load((built.folder / "bento.yaml").read_text())
    assert (manifest["name"], manifest["version"]) == ("cloudoptim-ml-server", RELEASE)
    assert manifest["service"] == "services.bento:Server"


def test_the_served_bento_says_what_it_is_ready_for(address: str) -> None:
    ready = httpx.get(f"{address}/readyz").json()
    assert ready["status"] == "ready"
    assert ready["release"] == RELEASE
    assert ready["market_id"] == "sim:7"
    assert all(part["ready"] for part in ready["parts"].values())
    assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}


def test_the_served_bento_answers_with_a_token_alone(address: str) -> None:
    latest = f"{address}{API}/predictions/latest"
    refused = httpx.get(latest)
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
    pools = httpx.get(latest, headers=BEARER).json()["predictions"]
    assert {pool["instance_type"] for pool in pools} == {"m5.large"}
    assert all(0 < pool["spot_price"] < 1 for pool in pools)


def test_metrics_are_the_server_s_own_and_need_a_token(address: str) -> None:
    assert httpx.get(f"{address}/metrics").status_code == 401
    exposed = httpx.get(f"{address}/metrics", headers=BEARER)
    assert "cloudoptim_ticks_total" in exposed.text


def test_a_websocket_receives_the_next_ticks_in_order(address: str) -> None:
    stream: WebSocketSession
    with connect_ws(f"{address}{API}/predictions/live", httpx.Client(headers=BEARER)) as stream:
        hello, first, second = (json.loads(stream.receive_text(timeout=DEADLINE_S)) for _ in range(3))
    assert (hello["type"], hello["market_id"]) == ("hello", "sim:7")
    assert (first["type"], second["type"]) == ("predictions", "predictions")
    assert first["seq"] > hello["seq"]
    assert second["previous"] == first["seq"]
