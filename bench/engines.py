"""What the sandbox costs: one engine that takes 10 ms, in process and in its confined child, `python -m bench.engines`."""

import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from random import Random

from engines import samples
from engines.canonical import canonical
from engines.confined_engine import ConfinedEngine
from engines.contract import DecisionInput, DecisionOutput
from engines.source import inspect
from engines.worker import FILE

CALLS = 400
ENGINE_MS = 10.0
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
    own: Callable[[DecisionInput], DecisionOutput] = engine_class().decide
    print(f"An engine that takes {ENGINE_MS:g} ms, {CALLS} calls each by turns; medians")
    print("| nodes | pools | input kB | in process, ms | confined, ms | the sandbox adds |")
    print("| --- | --- | --- | --- | --- | --- |")
    with contextlib.closing(ConfinedEngine("ten-ms", inspect(TEXT.encode()))) as confined:
        for nodes, pools in ((3, 12), (12, 40), (12, 102), (50, 102)):
            print(_row(own, confined, nodes, pools))


def _row(own: Callable[[DecisionInput], DecisionOutput], confined: ConfinedEngine, nodes: int, pools: int) -> str:
    given = _input(nodes, pools)
    data = canonical(given)  # made for every decision, wherever it is made: it names the input
    in_process: list[float] = []
    in_child: list[float] = []
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS):
        in_process.append(_seconds(lambda: own(given)))
        in_child.append(_seconds(lambda: confined.decide_canonical(data)))
    inside, outside = statistics.median(in_process) * 1000, statistics.median(in_child) * 1000
    return (
        f"| {nodes} | {len(given.pools)} | {len(data) / 1000:.0f} | {inside:.2f} | {outside:.2f} "
        f"| {100 * (outside / inside - 1):.1f} % |"
    )


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _input(nodes: int, pools: int) -> DecisionInput:
    random = Random(1)
    cluster = samples.cluster(random, "bench", most_nodes=nodes)
    while len(cluster.nodes) < nodes:
        cluster = samples.cluster(random, "bench", most_nodes=nodes)
    return DecisionInput(
        as_of=samples.AS_OF, market_id="sim:1", clusters=(cluster,), pools=samples.pools(random, pools)
    )


if __name__ == "__main__":
    main()
