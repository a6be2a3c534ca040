"""The page for engine authors: its commands, run as they stand, lead from nothing to an engine that decided."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.api.api_server import Served

pytestmark = pytest.mark.timeout(600)
PAGE = Path(__file__).parents[2] / "docs" / "add-an-engine.md"
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page speaks to the server with curl")
def test_the_pages_commands_write_check_upload_try_select_and_roll_back(
    served: Served, admin: httpx.Client, tmp_path: Path
) -> None:
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "URL": served.address,
        "TOKEN": served.tokens["admin"],
        "NO_PROXY": "127.0.0.1",
    }
    told = []
    assert len(BLOCKS) == 2
    for line in "".join(BLOCKS).splitlines():
        done = subprocess.run(line, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        told.append(done.stdout)
    assert "8 of 8 checks passed" in told[1]
    uploaded, tried, selected, back = map(json.loads, told[2:])
    assert uploaded["engine_id"] == selected["engine_id"] == "night-owl:v1"
    assert (tried["usable"], tried["violations"], tried["active"]["engine_id"]) == (True, [], "spot_optimizer_v1")
    assert selected["config"] == {"least_saving_percent": 5}
    assert back["engine_id"] == "spot_optimizer_v1"
    assert admin.delete("/engines/night-owl:v1").status_code == 200
