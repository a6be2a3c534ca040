"""Servers beside each other, behind each other, and in each other's way."""

import os
import signal
from pathlib import Path

import httpx
import psutil
import pytest

from gapfill.market.server import MarketOptions, build_app, build_source
from gapfill.market.threaded import serve_in_thread
from tests.running_server import RunningServer, eventually, running, start

# Whole servers start and stop here, on whatever machine this is.
pytestmark = pytest.mark.timeout(600)


def refused(server: RunningServer, *words: str) -> None:
    """The command ends by itself with one clear line."""
    assert server.process.wait(60) == 1
    for word in words:
        assert word in server.said
    assert "Traceback" not in server.said


def test_a_directory_in_use_is_refused(server: RunningServer) -> None:
    refused(start(server.data_dir, {}, "--market", "simulate"), "DataDirectoryInUse", str(server.data_dir))
    assert server.ready()


def test_a_taken_port_is_refused_with_its_holder(server: RunningServer, tmp_path: Path) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    refused(start(tmp_path / "data", {}, "--market", "simulate", port=port), f"port {port}", "a proxy of another Ray")
    assert server.ready()


def test_training_is_refused(tmp_path: Path) -> None:
    refused(start(tmp_path / "data", {"ALLOW_MODEL_TRAINING": "true"}), "ALLOW_MODEL_TRAINING", "must be false")


def test_a_second_server_comes_goes_and_comes_back(server: RunningServer, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running(data_dir, {}, "--market", "simulate") as second:
        assert second.ready()
        assert server.ready()
        with second.client() as api:
            before = {row["model_id"]: row["sha256"] for row in api.get("/models/list").json()}
        _kill_all_at_once(second)
    assert server.ready()

    with running(data_dir, {}, "--market", "simulate", port=int(second.url.rsplit(":", 1)[1])) as again:
        assert "was not stopped cleanly" in again.said
        assert "Training" not in again.said
        again.token = second.token
        with again.client() as api:
            rows = api.get("/models/list").json()
            assert {row["model_id"]: row["sha256"] for row in rows} == before
            assert all(row["status"] == "active" for row in rows)
            eventually(lambda: api.get("/predictions/latest").json()["models"], 30, "live predictions")
        family = psutil.Process(again.process.pid).children(recursive=True)
        assert again.interrupt() == 0
    assert "Nothing is left running" in again.said
    assert not [process for process in family if process.is_running()]
    assert server.ready()

    with serve_in_thread(build_app(*build_source(MarketOptions(seed=8, regions=("us-east-1",))))) as other:
        env = {"AWS_ENDPOINT_URL_EC2": other, "AWS_ENDPOINT_URL_PRICING": other}
        env |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
        refused(start(data_dir, env), "belongs to the market sim:7, not sim:8")


def _kill_all_at_once(server: RunningServer) -> None:
    """As a power cut does: nobody can clean up."""
    command = psutil.Process(server.process.pid)
    everybody = [command, *command.children(recursive=True)]
    proxies = [process for process in everybody if process.name() == "haproxy"]
    # The proxy is spared: it is what keeps the port after a head was killed.
    for process in everybody:
        if process not in proxies:
            os.kill(process.pid, signal.SIGKILL)
    server.process.wait(10)
    assert proxies
    eventually(lambda: _answers_nothing(server.url), 20, "an orphaned proxy that keeps the port and answers nothing")


def _answers_nothing(url: str) -> bool:
    """Somebody accepts the connection, and then says that nobody is there, or nothing at all."""
    try:
        return httpx.get(url, trust_env=False, timeout=10.0).status_code >= 400
    except httpx.ConnectError:
        return False
    except httpx.HTTPError:
        return True
