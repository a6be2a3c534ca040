"""A Ray head of our own for the tests of this folder."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from gapfill.market.server import MarketOptions, build_app, build_source
from gapfill.market.threaded import serve_in_thread
from services.launch.market import environment
from services.launch.processes import Recorded, end
from services.launch.ray_head import RayHead, plan_head, start_head
from tests.running_server import eventually, free_port

TOKEN = "an-admin-token-for-this-test-only-0123456789"


@dataclass(frozen=True)
class Cluster:
    """A running head, the environment of its processes, and the settings in it."""

    head: RayHead
    env: dict[str, str]
    url: str
    data_dir: Path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head beside a simulated market, with nothing deployed on it yet."""
    folder = tmp_path_factory.mktemp("cluster")
    head = plan_head()
    port = free_port()
    options = MarketOptions(seed=5, regions=("us-east-1",), instance_types=("m5.large",))
    with serve_in_thread(build_app(*build_source(options))) as market:
        env = environment(
            {
                **head.env,
                "AWS_ENDPOINT_URL_EC2": market,
                "AWS_ENDPOINT_URL_PRICING": market,
                "AWS_ACCESS_KEY_ID": "any",
                "AWS_SECRET_ACCESS_KEY": "any",
                "ML_SERVER_HOST": "127.0.0.1",
                "ML_SERVER_PORT": str(port),
                "ML_SERVER_DATA_DIR": str(folder / "data"),
                "ML_SERVER_LOG_DIR": str(folder / "logs"),
                "ML_SERVER_ADMIN_TOKEN": TOKEN,
                "LIVE_INTERVAL_SECONDS": "2",
                "GAP_FILLER_REGIONS": "us-east-1",
                "GAP_FILLER_INSTANCE_TYPES": "m5.large",
            }
        )
        process = start_head(head, env, folder / "ray.log")
        try:
            eventually(lambda: _dashboard_answers(head, process), 120, "Ray's dashboard")
            yield Cluster(head, env, f"http://127.0.0.1:{port}", folder / "data")
        finally:
            _end(process)


def _dashboard_answers(head: RayHead, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "the head ended"
    try:
        headers = {"Authorization": f"Bearer {head.env['RAY_AUTH_TOKEN']}"}
        return httpx.get(f"{head.dashboard_url}/api/version", headers=headers, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    family = []
    if process.poll() is None:
        root = psutil.Process(process.pid)
        family = [root, *root.children(recursive=True)]
    recorded = [Recorded(one.pid, one.create_time(), one.name()) for one in family]
    left = end(recorded, grace_s=3.0)
    process.wait(10)
    assert not left
