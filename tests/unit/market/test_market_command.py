"""`python -m gapfill.market` as a process: it tells its address, serves, stops cleanly, and dies with its parent."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

BASE = [sys.executable, "-m", "gapfill.market"]
SMALL = ["--regions", "eu-west-1", "--types", "m5.large", "--zones", "eu-west-1a"]
CHECKOUT = Path(__file__).parents[3]


def _start(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
    process = subprocess.Popen([*BASE, *arguments], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def _end(process: subprocess.Popen[str], order: signal.Signals) -> int:
    process.send_signal(order)
    code = process.wait(timeout=20)
    assert process.stdout is not None
    process.stdout.close()
    return code


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGINT])
def test_it_tells_its_address_serves_and_stops_cleanly(tmp_path: Path, order: signal.Signals) -> None:
    process, told = _start("simulate", "--seed", "3", "--state", str(tmp_path / "a state"), *SMALL)
    assert told["market_id"] == "sim:3"
    assert told["address"].startswith("http://127.0.0.1:")
    assert (tmp_path / "a state" / "address").read_text() == told["address"]
    assert httpx.get(f"{told['address']}/_market/identity").json()["regions"] == ["eu-west-1"]
    assert _end(process, order) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{told['address']}/_market/identity")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["simulate", "--regions", "mars-1"], "the catalogue has no mars-1"),
        (["simulate", "--live-activity", "0"], "at least 1"),
        (["replay", "no-such-file"], "cannot be read"),
    ],
)
def test_a_start_that_cannot_be_meant_says_why(arguments: list[str], words: str) -> None:
    done = subprocess.run([*BASE, *arguments], capture_output=True, text=True, cwd=CHECKOUT, timeout=60, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_it_dies_with_the_process_that_started_it() -> None:
    script = (
        "import subprocess, sys\n"
        f"command = {[*BASE, 'simulate', '--with-parent', *SMALL]!r}\n"
        "child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)\n"
        "print(child.pid, child.stdout.readline().strip(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid, _, line = parent.stdout.readline().partition(" ")
    address = json.loads(line)["address"]
    assert httpx.get(f"{address}/_market/identity").status_code == 200
    parent.kill()
    parent.wait(timeout=10)
    parent.stdin.close()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while _answers(address):
        assert time.monotonic() < deadline, f"process {pid} outlived its parent"
        time.sleep(0.05)
    assert os.getpid() != int(pid)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/_market/identity", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
