"""What the browser test needs running: a market, trained sample models, and a server that prints its sign-in link."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
REGION, TYPES = "us-east-1", "m5.large,c5.large"
DEADLINE_S = 60.0
ADMIN_TOKEN = "an-admin-token-that-only-this-test-knows"
MARKET = ("gapfill.market", "simulate", "--live-activity", "200", "--with-parent")


@dataclass(frozen=True, slots=True)
class Running:
    """Where things are; `link` signs in once."""

    address: str
    link: str
    market: str
    models: Path
    trained_until: date


@contextmanager
def everything(folder: Path) -> Iterator[Running]:
    """Start all of it; ended again when the block ends."""
    trained_until = (datetime.now(UTC) - timedelta(days=28)).date()
    with ExitStack() as stack:
        market = stack.enter_context(_telling(*MARKET, "--state", str(folder / "market"), env={}))["address"]
        env = _settings(folder, market)
        server = stack.enter_context(_process("tests.e2e.page_server", env=env))
        _train(folder, market, trained_until, env)
        told = _first_line(server)
        _await_ready(told["address"])
        yield Running(told["address"], told["link"], market, folder / "models", trained_until)


def _settings(folder: Path, market: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_EC2": market,
        "AWS_ENDPOINT_URL_PRICING": market,
        "AWS_ACCESS_KEY_ID": "of-the-simulator",
        "AWS_SECRET_ACCESS_KEY": "of-the-simulator",
        "ML_SERVER_DATA_DIR": str(folder / "data"),
        "ML_SERVER_ADMIN_TOKEN": ADMIN_TOKEN,
        "GAP_FILLER_REGIONS": REGION,
        "GAP_FILLER_INSTANCE_TYPES": TYPES,
        "LIVE_INTERVAL_SECONDS": "2",
        "BENTOML_DO_NOT_TRACK": "True",
    }


def _train(folder: Path, market: str, until: date, env: dict[str, str]) -> None:
    asked = ["--out", str(folder / "models"), "--until", str(until), "--regions", REGION, "--instance-types", TYPES]
    command = [sys.executable, "-m", "examples.train_sample_models", *asked, "--interruptions-url", market]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, check=True, capture_output=True)


@contextmanager
def _process(*module: str, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", *module]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def _telling(*module: str, env: dict[str, str]) -> Iterator[dict[str, str]]:
    with _process(*module, env=env) as process:
        yield _first_line(process)


def _first_line(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    told: dict[str, str] = json.loads(process.stdout.readline())
    return told


def _await_ready(address: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server did not become ready")
