"""Swaps under load: `python -m bench.soak [--swaps 200] [--connections 16] [--only one|two|killed]`; see docs/soak.md.

Each line of the table is a thing that must hold, its figure, and whether it did; the exit code is 1 when one did not.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench import soak_models
from bench.soak_load import Load, Swap, late_answers, steps_back, wrong_pairs, wrong_values
from bench.soak_server import SoakServer, kill_between_prepare_and_activate, soak_server

SWAPS = 200
CONNECTIONS = 16
PAUSE_S = 0.05
WARMED_AFTER = 20
MOST_GROWTH = 0.05
SLOWEST_SWAP_S = 1.0
KILL_EVERY = 50
KILLS_AT_MOST = 3
# A replica that could not be told of a swap looks at the pointer each second.
CATCHES_UP_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    what: str
    figure: str
    holds: bool


@dataclass
class Soaked:
    """What was seen while a server was swapped under load."""

    load: Load
    swaps: list[Swap] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    memory: list[dict[str, int]] = field(default_factory=list)  # after each swap: part and pid → resident bytes
    killed: list[int] = field(default_factory=list)
    hurt: set[int] = field(default_factory=set)  # generations whose swap was held up to kill a replica in it
    seconds: float = 0.0


def soak(server: SoakServer, swaps: int, connections: int, *, killing: bool = False) -> Soaked:
    """Swap to and fro under constant load."""
    with server.client() as api:
        soak_models.upload(api)
        api.post("/models/activate", json={"model_id": f"{soak_models.NAME}:v2"}).raise_for_status()
    soaked = Soaked(Load(server.url, server.token, connections))
    loading = threading.Thread(target=lambda: asyncio.run(soaked.load.run()), name="load")
    began = time.monotonic()
    loading.start()
    try:
        with server.client() as api:
            for number in range(swaps):
                hurting = killing and number % KILL_EVERY == KILL_EVERY // 2
                _swap(server, api, f"{soak_models.NAME}:v{1 + number % 2}", soaked, hurting=hurting)
                soaked.memory.append(server.resident())
                time.sleep(PAUSE_S)
    finally:
        soaked.load.stopped = True
        loading.join()
    soaked.seconds = time.monotonic() - began
    return soaked


def _swap(server: SoakServer, api: httpx.Client, model_id: str, soaked: Soaked, *, hurting: bool) -> None:
    found: list[int | None] = []
    hurter = threading.Thread(target=lambda: found.append(kill_between_prepare_and_activate(server)), name="kill")
    if hurting:
        hurter.start()
    began = time.monotonic()
    answer = api.post("/models/activate", json={"model_id": model_id})
    ended = time.monotonic()
    if hurting:
        hurter.join()
        soaked.killed += [pid for pid in found if pid is not None]
    if answer.status_code != 200:
        soaked.refused.append(f"{answer.status_code}: {answer.text[:300]}")
        return
    generation = answer.json()["generation"]
    soaked.swaps.append(Swap(began, ended, model_id, generation))
    if hurting:
        soaked.hurt |= {generation, generation + 1}  # the next one meets a replica that is being replaced


def table(soaked: Soaked, swaps: int, *, replicas: int, killing: bool) -> list[Line]:
    """Every line that must hold."""
    answers = soaked.load.answers
    rate = len(answers) / soaked.seconds
    of_both = len({answer.model_id for answer in answers})
    took = [swap.ended - swap.began for swap in soaked.swaps if swap.generation not in soaked.hurt]
    hurt = [swap.ended - swap.began for swap in soaked.swaps if swap.generation in soaked.hurt]
    in_order = [swap.generation for swap in soaked.swaps]
    late = list(late_answers(answers, soaked.swaps))
    lines = [
        _none("failed requests", soaked.load.failures, f"of {len(answers):,} ({rate:,.0f} a second)"),
        _none("refused swaps", soaked.refused, f"of {swaps}"),
        Line(
            "generations of the swaps, each one more",
            f"{in_order[0]} to {in_order[-1]}",
            in_order == list(range(in_order[0], in_order[0] + swaps)),
        ),
        Line("versions that answered", str(of_both), of_both == 2),
        _zero("answers that are not their version's own value", wrong_values(answers)),
        _zero("answers with another version's generation", wrong_pairs(answers, soaked.swaps)),
    ]
    if replicas == 1:
        lines.append(_zero("answers older than one that came before", steps_back(answers)))
    lines.append(
        Line(
            "answers older than a swap confirmed before",
            f"{len(late)}, at most {max(late, default=0.0):.2f} s",
            max(late, default=0.0) <= CATCHES_UP_WITHIN_S if killing else not late,
        )
    )
    lines.append(
        Line(
            "seconds a swap took: median, slowest",
            f"{statistics.median(took):.3f}, {max(took):.3f}",
            max(took) < SLOWEST_SWAP_S,
        )
    )
    if killing:
        lines.append(Line("replicas killed between prepare and activate", str(len(soaked.killed)), bool(soaked.killed)))
        figure = f"{max(hurt, default=0.0):.3f}"
        lines.append(Line("seconds a swap with a kill in it or just before took: slowest", figure, holds=True))
    return lines + _memory_lines(soaked)


def _memory_lines(soaked: Soaked) -> list[Line]:
    """Each process that was there all the time: its memory after the first swaps, and at the end."""
    lines = []
    warmed = soaked.memory[WARMED_AFTER:]
    throughout = [part for part in warmed[0] if all(part in seen for seen in warmed)] if warmed else []
    for part in throughout:
        seen = [sample[part] for sample in warmed]
        tenth = max(1, len(seen) // 10)
        first, last = statistics.median(seen[:tenth]), statistics.median(seen[-tenth:])
        growth = last / first - 1
        figure = f"{first / 2**20:.1f} → {last / 2**20:.1f} MiB ({growth:+.1%})"
        lines.append(Line(f"resident memory of {part}", figure, growth <= MOST_GROWTH))
    return lines


def _zero(what: str, count: int) -> Line:
    return Line(what, str(count), count == 0)


def _none(what: str, found: Sequence[str], beside: str) -> Line:
    first = f"; the first: {found[0]}" if found else ""
    return Line(what, f"{len(found)} {beside}{first}", not found)


SCENES: dict[str, tuple[str, int, bool]] = {
    "one": ("one ingress replica", 1, False),
    "two": ("two ingress replicas", 2, False),
    "killed": ("two ingress replicas, one killed between prepare and activate", 2, True),
}


def main(say: Callable[[str], object] = print) -> int:
    """Run each scene on a server of its own and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=SWAPS)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--only", choices=tuple(SCENES))
    chosen = parser.parse_args()
    held = True
    for name in [chosen.only] if chosen.only else list(SCENES):
        title, replicas, killing = SCENES[name]
        with tempfile.TemporaryDirectory() as folder, soak_server(Path(folder), replicas) as server:
            soaked = soak(server, chosen.swaps, chosen.connections, killing=killing)
        lines = table(soaked, chosen.swaps, replicas=replicas, killing=killing)
        say(f"\n{title}: {chosen.swaps} swaps, {chosen.connections} connections, {soaked.seconds:.0f} s")
        for line in lines:
            say(f"  {'holds' if line.holds else 'FAILS'}  {line.what}: {line.figure}")
        held = held and all(line.holds for line in lines)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
