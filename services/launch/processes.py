"""The processes of one server: recorded by pid and start time, ended as a whole, never anybody else's."""

import ctypes
import json
import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36
# psutil rounds start times; two processes with one pid cannot be this close.
SAME_START_S = 0.5


@dataclass(frozen=True, slots=True)
class Recorded:
    """A process that we started, directly or not; a pid alone may have been given to somebody else since."""

    pid: int
    started: float
    name: str

    def find(self) -> psutil.Process | None:
        """The process, if it still is the one that was recorded."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < SAME_START_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


class RunFile:
    """`run.json` in the data directory: what a start has started, for the next start to find after an unclean stop."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, processes: Sequence[Recorded], temp_dir: Path) -> None:
        """Replace the record; it is whole or absent, also after a crash."""
        rows = [{"pid": p.pid, "started": p.started, "name": p.name} for p in processes]
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps({"temp_dir": str(temp_dir), "processes": rows}))
        part.replace(self._path)

    def read(self) -> tuple[list[Recorded], Path | None]:
        """(processes, temporary directory) of the last start that was not stopped cleanly."""
        try:
            content = json.loads(self._path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return [], None
        rows = [Recorded(int(r["pid"]), float(r["started"]), str(r["name"])) for r in content["processes"]]
        return rows, Path(content["temp_dir"])

    def remove(self) -> None:
        """After a clean stop."""
        self._path.unlink(missing_ok=True)


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent dies, so that none escapes at stop."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[Recorded]:
    """Every living descendant of this process."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(Recorded(process.pid, process.create_time(), process.name()))
        except psutil.Error:
            continue
    return found


def end(processes: Iterable[Recorded], grace_s: float) -> list[Recorded]:
    """Ask each to end, then make it; what is left after all (a process in the kernel's hands) is returned."""
    wanted = list(processes)
    for sign, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        for recorded in wanted:
            process = recorded.find()
            if process:
                try:
                    process.send_signal(sign)
                except psutil.Error:
                    continue
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and any(recorded.find() for recorded in wanted):
            reap()
            time.sleep(0.05)
    return [recorded for recorded in wanted if recorded.find()]


def reap() -> None:
    """Collect adopted children that have ended, so that they do not stay as zombies."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


def listener(port: int) -> psutil.Process | None:
    """Who listens on a TCP port of this machine, as far as we may see."""
    for connection in psutil.net_connections("tcp"):
        address = connection.laddr
        if connection.status == psutil.CONN_LISTEN and address and address.port == port and connection.pid:
            try:
                return psutil.Process(connection.pid)
            except psutil.Error:
                return None
    return None
