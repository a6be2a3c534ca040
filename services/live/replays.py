"""Replays as jobs: one at a time, in a process of its own, its state in the store for every process to see."""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from services.errors import LeaseLost
from services.live.errors import ReplayBusy, ReplayUnknown
from services.live.replay_order import ReplayJob
from services.store.protocol import Lease, Store

KIND = "replay"
LEASE = "replay"
# A replay may take so long; after that it is ended.
MOST_S = 3_600.0
_TTL_S = 30.0
_LOOK_S = 1.0
_KEPT = 50


class Replays:
    """Orders replays and tells of them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, job: ReplayJob, ordered_by: str) -> dict[str, Any]:
        """Begin a replay and return its state; raises ReplayBusy while another one runs."""
        number = self._store.next_number(KIND)
        replay_id = f"replay-{number}"
        lease = self._store.acquire(LEASE, replay_id, _TTL_S)
        if lease is None:
            raise ReplayBusy(self._running())
        state = {
            "replay_id": replay_id,
            "number": number,
            "engine_id": job.engine_ids[0],
            "status": "in_progress",
            "percent_complete": 0.0,
            "order": job.order.model_dump(mode="json"),
            "ordered_by": ordered_by,
            "ordered_at": job.ordered_at.isoformat(),
            "updated_at": _now().isoformat(),
            "reason": None,
            "results": [],
        }
        self._store.put(KIND, _key(number), state)
        self._forget_oldest()
        threading.Thread(target=_Run(self._store, lease, state, job).run, name=replay_id, daemon=True).start()
        return state

    def get(self, engine_id: str, replay_id: str) -> dict[str, Any]:
        """The state of a replay; raises ReplayUnknown. One whose process is gone has failed."""
        for document in self._store.find(KIND, newest_first=True, limit=_KEPT):
            state = document.value
            if (state["engine_id"], state["replay_id"]) == (engine_id, replay_id):
                silent = _now() - datetime.fromisoformat(state["updated_at"]) > timedelta(seconds=2 * _TTL_S)
                if state["status"] == "in_progress" and silent:
                    return {**state, "status": "failed", "reason": "the process that ran it is gone"}
                return state
        raise ReplayUnknown(engine_id, replay_id)

    def cancel(self, engine_id: str, replay_id: str) -> dict[str, Any]:
        """Ask a replay to end; raises ReplayUnknown. One that has ended stays as it is."""
        state = self.get(engine_id, replay_id)
        if state["status"] == "in_progress":
            self._store.put(f"{KIND}_cancelled", replay_id, {"at": _now().isoformat()})
        return state

    def _running(self) -> str:
        for document in self._store.find(KIND, newest_first=True, limit=_KEPT):
            if document.value["status"] == "in_progress":
                return str(document.value["engine_id"])
        return "an engine"

    def _forget_oldest(self) -> None:
        for document in self._store.find(KIND, newest_first=True)[_KEPT:]:
            self._store.delete(KIND, document.key)


class _Run:
    """One replay's process, followed line by line."""

    def __init__(self, store: Store, lease: Lease, state: dict[str, Any], job: ReplayJob) -> None:
        self._store = store
        self._lease = lease
        self._state = state
        self._job = job
        self._began = _now()

    def run(self) -> None:
        """Follow it to its end; whatever happens is its state's to tell."""
        command = [sys.executable, "-m", "services.live.replay_process"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdin is not None
            process.stdin.write(self._job.model_dump_json() + "\n")
            process.stdin.flush()
            watch = threading.Thread(target=self._watch, args=(process,), daemon=True)
            watch.start()
            self._follow(process)
            process.stdin.close()
        self._store.release(self._lease)
        self._store.delete(f"{KIND}_cancelled", self._state["replay_id"])

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            told: Mapping[str, Any] = json.loads(line)
            if "result" in told:
                self._put(status="completed", percent_complete=100.0, results=told["result"])
            elif "failed" in told:
                self._put(status="failed", reason=told["failed"])
            else:
                self._put(percent_complete=round(100.0 * told["done"] / max(1, told["total"]), 1))
        process.wait()
        if self._state["status"] == "in_progress":
            self._put(status="failed", reason=self._state["reason"] or f"its process ended with {process.returncode}")

    def _watch(self, process: subprocess.Popen[str]) -> None:
        """Keep the lease, and end the process when it was cancelled, takes too long, or the lease has passed on."""
        while process.poll() is None:
            reason = self._why_end()
            if reason is not None:
                self._state["reason"] = reason
                process.kill()
                return
            try:
                process.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                continue

    def _why_end(self) -> str | None:
        if self._store.get(f"{KIND}_cancelled", self._state["replay_id"]) is not None:
            return "cancelled"
        if (_now() - self._began).total_seconds() > MOST_S:
            return f"it took over {MOST_S:g} s"
        try:
            self._store.renew(self._lease, _TTL_S)
        except LeaseLost:
            return "another replay took over"
        self._put()
        return None

    def _put(self, **changes: Any) -> None:
        self._state = {**self._state, **changes, "updated_at": _now().isoformat()}
        self._store.put(KIND, _key(self._state["number"]), self._state)


def _key(number: int) -> str:
    return f"{number:012d}"


def _now() -> datetime:
    return datetime.now(UTC)
