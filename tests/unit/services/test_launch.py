"""Starting and stopping: whose processes, whose port, whose prices."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from gapfill.market.server import MarketOptions, build_app, build_source
from gapfill.market.threaded import serve_in_thread
from services.errors import Unavailable
from services.launch.market import AwsIdentity, environment, is_simulated
from services.launch.places import claim_port, still_running
from services.launch.processes import Recorded, RunFile, end, listener
from services.launch.ray_head import free_ports, plan_head

STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); sys.stdin.read()"


@pytest.fixture
def stubborn() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not end when it is asked to."""
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def recorded(process: subprocess.Popen[bytes]) -> Recorded:
    """As a start records it."""
    return Recorded(process.pid, psutil.Process(process.pid).create_time(), "python")


def test_a_recorded_process_is_found_only_while_it_is_the_same(stubborn: subprocess.Popen[bytes]) -> None:
    mine = recorded(stubborn)
    assert mine.find() is not None
    assert Recorded(mine.pid, mine.started - 60, mine.name).find() is None
    assert still_running([mine, Recorded(mine.pid, 0.0, "somebody else")]) == [mine]


def test_what_does_not_end_when_asked_is_made_to(stubborn: subprocess.Popen[bytes]) -> None:
    assert end([recorded(stubborn)], grace_s=0.2) == []
    assert recorded_is_gone(stubborn)


def recorded_is_gone(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has ended, be it as a zombie that its parent has yet to collect."""
    return not psutil.pid_exists(process.pid) or psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE


def test_the_run_file_is_whole_or_absent(tmp_path: Path) -> None:
    file = RunFile(tmp_path / "run.json")
    assert file.read() == ([], None)
    file.write([Recorded(1, 2.5, "ray")], tmp_path)
    assert file.read() == ([Recorded(1, 2.5, "ray")], tmp_path)
    (tmp_path / "run.json").write_text('{"temp_dir"')
    assert file.read() == ([], None)
    file.remove()
    assert not (tmp_path / "run.json").exists()


def test_a_taken_port_is_named_with_its_holder() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        found = listener(port)
        assert found is not None
        assert found.pid == os.getpid()
        with pytest.raises(Unavailable, match=f"process {os.getpid()}") as refusal:
            claim_port("127.0.0.1", port)
        assert refusal.value.part == f"port {port}"
    claim_port("127.0.0.1", port)


def test_two_heads_share_nothing() -> None:
    first, second = plan_head(), plan_head()
    try:
        assert first.temp_dir != second.temp_dir
        assert first.address != second.address
        assert first.env["RAY_AUTH_TOKEN"] != second.env["RAY_AUTH_TOKEN"]
        # A Unix address has at most 107 bytes, and Serve puts a folder of 56 characters and a suffix into it.
        assert len(first.env["RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH"]) + 57 + 8 < 97
    finally:
        shutil.rmtree(first.temp_dir)
        shutil.rmtree(second.temp_dir)


def test_a_path_with_a_space_is_hidden_from_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spaced = tmp_path / "with a space"
    spaced.symlink_to(sys.prefix, target_is_directory=True)
    monkeypatch.setattr(sys, "executable", str(spaced / Path(sys.executable).relative_to(sys.prefix)))
    monkeypatch.setattr(sys, "prefix", str(spaced))
    head = plan_head()
    try:
        assert " " not in head.python
        told = subprocess.run(
            [head.python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
        )
        assert told.stdout.strip() == str(head.temp_dir / "env")
    finally:
        shutil.rmtree(head.temp_dir)


def test_free_ports_leave_room_for_replicas() -> None:
    ports = sorted(free_ports(5))
    assert all(later - earlier > 200 for earlier, later in pairwise(ports))


class Asked:
    """Answers the question whether an account may be used, and remembers it."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.identities: list[AwsIdentity] = []

    def __call__(self, identity: AwsIdentity) -> bool:
        self.identities.append(identity)
        return self.answer


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without AWS credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.mark.usefixtures("no_aws")
def test_without_credentials_the_market_is_simulated() -> None:
    asked = Asked(answer=True)
    assert is_simulated("auto", {}, asked)
    assert is_simulated("simulate", {}, asked)
    assert not is_simulated("auto", {"AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:1"}, asked)
    with pytest.raises(Unavailable, match="no credentials"):
        is_simulated("aws", {}, asked)
    assert asked.identities == []


@pytest.mark.usefixtures("no_aws")
def test_an_account_that_was_merely_found_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    options = MarketOptions(regions=("us-east-1",), instance_types=("m5.large",))
    with serve_in_thread(build_app(*build_source(options))) as market:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", market)
        agreed = Asked(answer=True)
        assert not is_simulated("auto", {}, agreed)
        assert len(agreed.identities) == 1
        assert agreed.identities[0].account
        with pytest.raises(Unavailable, match="not used"):
            is_simulated("auto", {}, Asked(answer=False))


def test_an_empty_value_removes_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCH_TEST", "there")
    assert environment({"LAUNCH_TEST": "", "LAUNCH_NEW": "1"})["LAUNCH_NEW"] == "1"
    assert "LAUNCH_TEST" not in environment({"LAUNCH_TEST": ""})
    assert environment({})["LAUNCH_TEST"] == "there"
