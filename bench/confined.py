"""How long confined children take: started cold, forked by a zygote, and asked (`python -m bench.confined`)."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

from engines.sandbox import ConfinedChild, Program
from engines.zygote import nursery

PROGRAMS = {
    "empty": Program("engines.sandbox_probe:echo"),
    "engine": Program("engines.worker:answer", warm=("numpy", "pandas", "engines.sandbox_libraries")),
    "model": Program("services.models.examine:examine"),
}
COLUMNS = ("program", "cold ms", "first with its zygote ms", "warm ms, best", "warm ms, median", "end ms, median")


def main() -> None:
    """Print a table over `--times` starts; the best is what a quiet machine gives, cold is the best of three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="warm starts per program (default 20)")
    times = parser.parse_args().times
    rows = [_row(name, program, times) for name, program in PROGRAMS.items()]
    for row in (COLUMNS, *rows):
        sys.stdout.write(f"| {' | '.join(row)} |\n")
    sys.stdout.write(f"\na trivial call over the pipe: {_call_us(2000):.0f} µs\n")


def _row(name: str, program: Program, times: int) -> tuple[str, ...]:
    cold = [_started(program, cold=True)[0] for _ in range(3)]
    nursery().close()
    first, _ = _started(program)
    starts, ends = zip(*(_started(program) for _ in range(times)), strict=True)
    figures = (min(cold), first, min(starts), statistics.median(starts), statistics.median(ends))
    return (name, *(f"{figure:.1f}" for figure in figures))


def _started(program: Program, *, cold: bool = False) -> tuple[float, float]:
    """Milliseconds until a child is confined and ready, and until it is gone."""
    began = time.perf_counter()
    child = ConfinedChild(program, cold=cold)
    ready = time.perf_counter()
    child.close()
    return 1e3 * (ready - began), 1e3 * (time.perf_counter() - ready)


def _call_us(times: int, clock: Callable[[], float] = time.perf_counter) -> float:
    with ConfinedChild(PROGRAMS["empty"]) as child:
        took = []
        for _ in range(times):
            began = clock()
            child.call(b"x", 10.0)
            took.append(clock() - began)
    return 1e6 * statistics.median(took)


if __name__ == "__main__":
    main()
