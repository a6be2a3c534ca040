"""Parts of the server are killed, and nobody loses anything."""

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from tests.running_server import RunningServer, eventually

# Whole servers start and stop here, on whatever machine this is.
pytestmark = pytest.mark.timeout(600)

BACK_S = 60.0


class Follower:
    """A client of predictions/live that resumes where it was, as our documentation tells it to."""

    def __init__(self, server: RunningServer) -> None:
        self._url = server.url.replace("http", "ws") + "/api/v1/ml/predictions/live"
        self._headers = {"Authorization": f"Bearer {server.token}"}
        self.messages: list[dict[str, Any]] = []
        self.resumed = 0

    @property
    def last(self) -> int | None:
        """The seq to resume after."""
        return self.messages[-1]["seq"] if self.messages else None

    def follow(self, count: int, patience_s: float) -> None:
        """Take in `count` more messages, over as many connections as it needs."""
        wanted = len(self.messages) + count
        deadline = time.monotonic() + patience_s
        while len(self.messages) < wanted:
            assert time.monotonic() < deadline, f"{len(self.messages)} of {wanted} messages"
            url = self._url if self.last is None else f"{self._url}?after={self.last}"
            try:
                with connect(url, additional_headers=self._headers, open_timeout=5, proxy=None) as socket:
                    while len(self.messages) < wanted:
                        message = json.loads(socket.recv(timeout=20))
                        assert message["type"] != "reset"
                        if message["type"] == "predictions":
                            self.messages.append(message)
            except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
                self.resumed += 1

    def assert_unbroken(self) -> None:
        """Every event of the stream exactly once: each names the one before it."""
        seqs = [message["seq"] for message in self.messages]
        assert seqs == sorted(set(seqs))
        assert [message["previous"] for message in self.messages[1:]] == seqs[:-1]


def kill(server: RunningServer, name: str) -> int:
    """kill -9 the one process with that title; its pid."""
    (pid,) = eventually(lambda: server.pids(name), 30, f"a process {name}")
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_follower_misses_nothing_when_ingress_and_loop_are_killed(server: RunningServer) -> None:
    follower = Follower(server)
    follower.follow(2, 60)
    kill(server, "ServeReplica:api:Ingress")
    follower.follow(2, BACK_S)
    assert follower.resumed
    old = kill(server, "ray::LiveLoop")
    follower.follow(3, BACK_S)
    assert server.pids("ray::LiveLoop") != [old]
    follower.assert_unbroken()
    eventually(server.ready, BACK_S, "ready again")


def test_a_fill_whose_actor_is_killed_completes(server: RunningServer) -> None:
    types = [f"{family}.{size}" for family in ("m5", "c5", "r5", "m6i") for size in ("large", "xlarge", "2xlarge")]
    regions = ["us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1"]
    trained_until = (datetime.now(UTC) - timedelta(days=60)).date().isoformat()
    order = {"instance_types": types, "regions": regions, "trained_until": trained_until}
    with server.client() as api:
        task_id = api.post("/gap-filler/fill", json=order).json()["task_id"]

        def status() -> dict[str, Any]:
            answer: dict[str, Any] = api.get(f"/gap-filler/status/{task_id}").json()
            return answer

        eventually(lambda: status()["shards_done"] >= 1, 60, "the first shard")
        before = status()
        kill(server, "ray::GapFiller")
        done = eventually(lambda: (now := status())["status"] != "in_progress" and now, 120, "the end of the fill")
    assert before["status"] == "in_progress"
    assert done["status"] == "completed"
    assert done["percent_complete"] == 100
    assert done["shards_done"] == done["shards_total"]
    kept = {shard["number"]: shard["finished_at"] for shard in before["shards"] if shard["state"] == "done"}
    assert kept == {n: s["finished_at"] for s in done["shards"] if (n := s["number"]) in kept}
    eventually(server.ready, BACK_S, "ready again")
