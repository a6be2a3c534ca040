"""What the sandbox costs an engine that takes 10 ms, in process and confined: `python -m bench.engines [CALLS]`."""

import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from engines import samples
from engines.canonical import canonical
from engines.confined_engine import ConfinedEngine
from engines.contract import DecisionInput, DecisionOutput
from engines.source import inspect
from engines.worker import FILE

CALLS = 400
Decide = Callable[[DecisionInput], DecisionOutput]
ENGINE_MS = 10.0
FEATURES = 20  # as many as a pool has on a live board
# It burns processor time, as an engine does that computes; what it answers is as long as a real answer.
TEXT = '''"""Holds everything, after 10 ms of computing."""

import time

from pydantic import BaseModel

from engines.contract import DecisionInput, DecisionOutput, hold_everything


class Engine:
    name = "ten-ms"
    version = "1"
    description = "Takes 10 ms."

    class Config(BaseModel):
        pass

    def decide(self, given: DecisionInput) -> DecisionOutput:
        began = time.thread_time()
        output = hold_everything(given)
        while time.thread_time() - began < %f:
            pass
        return output
''' % (ENGINE_MS / 1000)


def main() -> None:
    """Take turns, so that both meet the same machine; medians."""
    namespace: dict[str, object] = {"__name__": "ten_ms"}
    exec(compile(TEXT, FILE, "exec"), namespace)
    engine_class = namespace["Engine"]
    assert callable(engine_class)
    own: Decide = engine_class().decide
    print(f"An engine that takes {ENGINE_MS:g} ms, {CALLS} calls each by turns; medians")
    print(
        "| nodes | pools | input kB | in process, ms | confined, ms | added | to quickest tenth | in processor time |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with contextlib.closing(ConfinedEngine("ten-ms", inspect(TEXT.encode()))) as confined:
        for nodes, pools in ((3, 12), (12, 40), (12, 102), (50, 102)):
            print(_row(own, confined, nodes, pools))


def _row(own: Decide, confined: ConfinedEngine, nodes: int, pools: int) -> str:
    given = _input(nodes, pools)
    in_process, in_child = _Times(), _Times()
    confined.decide(given)
    assert confined.pid is not None
    # Every decision names its input by its canonical bytes, wherever it is made: they are made in both.
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS):
        in_process.take(lambda: (canonical(given), own(given)))
        in_child.take(lambda: confined.decide_canonical(canonical(given)), confined.pid)
    figures = [
        f"{in_process.median_ms():.2f}",
        f"{in_child.median_ms():.2f}",
        *(f"{100 * (b / a - 1):.1f} %" for a, b in zip(in_process.three(), in_child.three(), strict=True)),
    ]
    return f"| {nodes} | {len(given.pools)} | {len(canonical(given)) / 1000:.0f} | {' | '.join(figures)} |"


class _Times:
    """Seconds of each call, by the clock and of processor time, the child's included."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def take(self, call: Callable[[], object], child: int | None = None) -> None:
        """One call."""
        cpu, wall = _child_s(child) + time.thread_time(), time.perf_counter()
        call()
        took, own = time.perf_counter() - wall, time.thread_time()
        self.wall.append(took)
        self.cpu.append(own + _child_s(child) - cpu)

    def median_ms(self) -> float:
        """By the clock."""
        return statistics.median(self.wall) * 1000

    def three(self) -> tuple[float, float, float]:
        """Median by the clock, the quickest tenth by the clock, median processor time."""
        return statistics.median(self.wall), sorted(self.wall)[len(self.wall) // 10], statistics.median(self.cpu)


def _child_s(child: int | None) -> float:
    """Processor time of a child's only thread (nanoseconds are the first word of schedstat)."""
    return int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) / 1e9 if child else 0.0


def _input(nodes: int, pools: int) -> DecisionInput:
    random = Random(1)
    cluster = samples.cluster(random, "bench", most_nodes=nodes)
    while len(cluster.nodes) < nodes:
        cluster = samples.cluster(random, "bench", most_nodes=nodes)
    features = {f"feature_{n}": random.random() for n in range(FEATURES)}
    known = tuple(pool.model_copy(update={"features": features}) for pool in samples.pools(random, pools))
    return DecisionInput(as_of=samples.AS_OF, market_id="sim:1", clusters=(cluster,), pools=known)


if __name__ == "__main__":
    main()
