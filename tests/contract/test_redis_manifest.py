"""The Redis of the Kubernetes manifests, started here by its own command: it keeps everything and asks who comes."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.redis_server import DEADLINE_S, free_port
from tests.unit.manifests import ROOT, one, render

PASSWORD = "a password of some length"


@contextmanager
def started(folder: Path, password: str) -> Iterator[int]:
    """The container's command on this machine, its folders under `folder`; gives the port."""
    assert shutil.which("redis-server"), "redis-server is not installed (Debian package: redis-server)"
    objects = render(ROOT / "k8s" / "redis")
    (container,) = one(objects, "StatefulSet", "redis")["spec"]["template"]["spec"]["containers"]
    for path in ("config", "data", "tmp"):
        (folder / path).mkdir(exist_ok=True)
    port = free_port()
    config = one(objects, "ConfigMap", "redis-config")["data"]["redis.conf"]
    config = config.replace("port 6379", f"port {port}").replace("bind 0.0.0.0", "bind 127.0.0.1")
    (folder / "config" / "redis.conf").write_text(config.replace("dir /data", f'dir "{folder}/data"'))
    script = container["command"][-1].replace("/tmp/", f"{folder}/tmp/").replace("/etc/redis/", f"{folder}/config/")
    process = subprocess.Popen(
        [*container["command"][:-1], script],
        env={"PATH": os.environ["PATH"], "REDIS_PASSWORD": password},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.terminate()
        assert process.wait(DEADLINE_S) == 0


def connected(port: int, password: str | None) -> redis.Redis:
    """A client, once the server answers."""
    client = redis.Redis(port=port, password=password)
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            client.ping()
        except redis.exceptions.AuthenticationError:
            raise
        except redis.exceptions.ConnectionError:
            time.sleep(0.02)
        else:
            return client
    pytest.fail("redis-server did not answer in time")


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    with started(tmp_path, "") as port:
        connected(port, None).set("kept", "1")
    with started(tmp_path, "") as port:
        assert connected(port, None).get("kept") == b"1"


def test_no_key_is_evicted_and_every_write_is_logged(tmp_path: Path) -> None:
    with started(tmp_path, "") as port:
        found = connected(port, None).config_get()
    assert isinstance(found, dict)
    assert (found["maxmemory-policy"], found["appendonly"], found["appendfsync"]) == ("noeviction", "yes", "everysec")


def test_a_password_is_asked_for_and_kept_from_the_arguments(tmp_path: Path) -> None:
    with started(tmp_path, PASSWORD) as port:
        assert connected(port, PASSWORD).ping() is True
        with pytest.raises(redis.exceptions.AuthenticationError):
            connected(port, None)
        arguments = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert PASSWORD not in arguments
    assert (tmp_path / "tmp" / "redis.conf").stat().st_mode & 0o077 == 0
