"""Engine swaps under load on a real server: `python -m bench.engine_soak [--swaps 200] [--connections 8]`.

Decisions are asked for without a pause while three engines (two uploaded, one built in) are selected in turn. Each line
of the table is a thing that must hold, its figure, and whether it did; the exit code is 1 when one did not.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.soak_server import SoakServer, soak_server
from engines.starting_file import starting_file

ASK = {"cluster_id": "asked", "requirements": {"vcpu": 16, "memory_gib": 64, "min_nodes": 4}}
BUILT_IN = "on_demand_only"


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer: when it was asked for and came, and who says it made it."""

    asked: float
    came: float
    engine_id: str
    generation: int
    stood_in: str


@dataclass
class Soaked:
    """What was seen."""

    decisions: list[Decision] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    swaps: list[tuple[float, float, str, int]] = field(default_factory=list)  # began, ended, engine, generation
    children: list[int] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


def soak(server: SoakServer, swaps: int, connections: int) -> Soaked:
    """Select in turn under constant load."""
    soaked = Soaked()
    with server.client() as api:
        engines = [_upload(api, "v1"), _upload(api, "v2"), BUILT_IN]
        _select(api, soaked, engines[0])
        loads = [threading.Thread(target=_load, args=(server, soaked)) for _ in range(connections)]
        for load in loads:
            load.start()
        try:
            for number in range(swaps):
                _select(api, soaked, engines[(number + 1) % len(engines)])
                soaked.children.append(len(server.pids("engines.zygote")) + len(server.pids("sandbox")))
        finally:
            soaked.stopped.set()
            for load in loads:
                load.join()
    return soaked


def _upload(api: httpx.Client, version: str) -> str:
    files = {"file": ("soaked.py", starting_file("soaked").encode())}
    answer = api.post("/engines/upload", files=files, data={"name": "soaked", "version": version}).raise_for_status()
    return str(answer.json()["engine_id"])


def _select(api: httpx.Client, soaked: Soaked, engine_id: str) -> None:
    began = time.monotonic()
    answer = api.post("/engines/select", json={"engine_id": engine_id})
    if answer.status_code != 200:
        soaked.failures.append(f"select {engine_id}: {answer.status_code} {answer.text[:300]}")
        return
    soaked.swaps.append((began, time.monotonic(), engine_id, answer.json()["generation"]))


def _load(server: SoakServer, soaked: Soaked) -> None:
    with server.client() as api:
        while not soaked.stopped.is_set():
            asked = time.monotonic()
            try:
                answer = api.post("/decision/spot-optimize", json=ASK)
            except httpx.HTTPError as error:
                soaked.failures.append(f"{type(error).__name__}: {error}")
                continue
            if answer.status_code != 200:
                soaked.failures.append(f"{answer.status_code}: {answer.text[:300]}")
                continue
            by = answer.json()["made_by"]
            stood_in = by["stands_in_for"]["kind"] if by["stands_in_for"] else ""
            made = Decision(asked, time.monotonic(), by["engine_id"], by["generation"], stood_in)
            soaked.decisions.append(made)


def table(soaked: Soaked, swaps: int) -> list[tuple[str, str, bool]]:
    """(what must hold, its figure, whether it did)."""
    of = {generation: engine_id for _, _, engine_id, generation in soaked.swaps}
    decisions = soaked.decisions
    wrong = [d for d in decisions if of.get(d.generation) != d.engine_id]
    late = [d for d in decisions if any(ended < d.asked and g > d.generation for _, ended, _, g in soaked.swaps)]
    stood_in = [d for d in decisions if d.stood_in]
    seconds = max(d.came for d in decisions) - min(d.asked for d in decisions)
    took = [ended - began for began, ended, _, _ in soaked.swaps]
    waits = sorted(d.came - d.asked for d in decisions)
    who = {d.engine_id for d in decisions}
    first = f"; the first: {soaked.failures[0]}" if soaked.failures else ""
    return [
        ("swaps done", f"{len(soaked.swaps) - 1} of {swaps}", len(soaked.swaps) == swaps + 1),
        (
            "failed decisions or swaps",
            f"{len(soaked.failures)} of {len(decisions):,} ({len(decisions) / seconds:,.0f} a second){first}",
            not soaked.failures,
        ),
        ("decisions by an engine that its generation did not select", str(len(wrong)), not wrong),
        ("decisions by an engine asked after a later one had been confirmed", str(len(late)), not late),
        ("decisions by a stand-in", str(len(stood_in)), not stood_in),
        ("engines that decided", str(len(who)), len(who) == 3),
        ("seconds a swap took: median, slowest", f"{statistics.median(took):.3f}, {max(took):.3f}", True),
        ("seconds a decision took: median, 99 %", f"{_at(waits, 50):.3f}, {_at(waits, 99):.3f}", True),
        *_children(soaked.children),
    ]


def _children(counts: list[int]) -> list[tuple[str, str, bool]]:
    """Confined processes of the server, where they were counted."""
    if not counts:
        return []
    early, last = counts[min(20, len(counts) - 1)], counts[-1]
    return [("confined processes after 20 swaps, at the end", f"{early}, {last}", last <= early + 1)]


def _at(ordered: list[float], percent: int) -> float:
    return ordered[len(ordered) * percent // 100]


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--connections", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, soak_server(Path(folder), 1) as server:
        lines = table(soak(server, given.swaps, given.connections), given.swaps)
    show(lines)


def show(lines: list[tuple[str, str, bool]]) -> None:
    """Print the table, and exit with 1 when a line does not hold."""
    print("| what | figure | holds |\n| --- | --- | --- |")
    for what, figure, holds in lines:
        print(f"| {what} | {figure} | {'yes' if holds else 'NO'} |")
    sys.exit(0 if all(holds for _, _, holds in lines) else 1)


if __name__ == "__main__":
    main()
