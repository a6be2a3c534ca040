"""`serve_config.yaml` deploys the same application on a Ray that runs already."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.cluster.conftest import TOKEN, Cluster
from tests.running_server import eventually

# Whole servers start and stop here, on whatever machine this is.
pytestmark = pytest.mark.timeout(600)

CONFIG = Path(__file__).parents[2] / "serve_config.yaml"


def test_serve_deploy_brings_up_both_applications(cluster: Cluster, tmp_path: Path) -> None:
    config = yaml.safe_load(CONFIG.read_text())
    config["http_options"] = {"host": "127.0.0.1", "port": int(cluster.url.rsplit(":", 1)[1])}
    redirected = tmp_path / "serve_config.yaml"
    redirected.write_text(yaml.safe_dump(config))
    _deploy(cluster, redirected)
    ready = eventually(lambda: _answer(f"{cluster.url}/readyz", 200), 180, "readiness")
    assert ready["parts"]["live_loop"]["ready"]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"{cluster.url}/api/v1/ml", headers=headers, trust_env=False, timeout=20.0) as api:
        rows = api.get("/predictions/latest").json()["predictions"]
        assert {row["instance_type"] for row in rows} == {"m5.large"}
        first = api.get("/predictions/latest").json()["seq"]
        assert httpx.get(f"{cluster.url}/ui/", trust_env=False, follow_redirects=True).status_code == 200
        # A second deploy of the same release replaces nothing that ticks.
        _deploy(cluster, redirected)
        eventually(lambda: api.get("/predictions/latest").json()["seq"] > first, 60, "the next tick")


def _deploy(cluster: Cluster, config: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ray.serve.scripts",
        "deploy",
        str(config),
        "--address",
        cluster.head.dashboard_url,
    ]
    done = subprocess.run(command, env=cluster.env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _answer(url: str, status: int) -> dict[str, Any]:
    """The JSON of an answer with that status; empty for any other answer or none."""
    try:
        answer = httpx.get(url, trust_env=False, timeout=5.0)
    except httpx.HTTPError:
        return {}
    body: dict[str, Any] = answer.json() if answer.status_code == status else {}
    return body
