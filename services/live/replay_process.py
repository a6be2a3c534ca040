"""The process of one replay: a job as JSON on its standard input, lines of JSON on its standard output.

Lines are `{"done": …, "total": …}` as it goes, and at the end `{"result": […]}` or `{"failed": "…"}`. It ends with
whoever ordered it: when its standard input closes, so does it.
"""

import json
import os
import sys
import threading
from typing import Any

from engines.catalogue import Catalogue
from engines.confined_engine import EngineLimits
from engines.errors import EnginesError
from engines.replay.comparing import Progress, compare, plays
from engines.replay.entrants import entered
from engines.replay.errors import ReplayError
from engines.replay.report import as_values
from gapfill.errors import GapFillError
from gapfill.history import History
from services.live.replay_history import history_world
from services.live.replay_order import ReplayJob

_NICE = 10


def run(job: ReplayJob, progress: Progress) -> list[dict[str, Any]]:
    """Return the comparisons as values; raises what reading the history and opening the engines raises."""
    order = job.order
    history = History(job.history_root, job.market_id)
    world = history_world(
        history,
        order.scope(),
        order.start,
        order.end,
        product=order.product_description,
        as_ingested=order.as_ingested,
    )
    catalogue = Catalogue(job.engine_dir, EngineLimits(decide_s=job.engine_timeout_s))
    costs = order.interruption_node_hours
    with entered(catalogue, job.engine_ids) as entrants:
        progress.total = plays(len(order.cases()), entrants, len(costs), order.draws)
        return as_values(list(compare(world, order.cases(), entrants, costs, draws=order.draws, progress=progress)))


def main() -> None:
    """Read a job, run it, tell."""
    os.nice(_NICE)
    job = ReplayJob.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        found = run(job, Progress(told=lambda p: _tell({"done": p.done, "total": p.total})))
        _tell({"result": found})
    except (ReplayError, EnginesError, GapFillError) as error:
        _tell({"failed": f"{type(error).__name__}: {'; '.join(str(part) for part in error.args)}"[:1000]})


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
