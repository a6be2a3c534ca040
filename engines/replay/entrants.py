"""The engines of a replay, opened as the catalogue opens them: built-in ones in process, uploaded ones confined."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from engines.catalogue import Catalogue, OpenedEngine
from engines.contract import DecisionInput, DecisionOutput
from engines.deciding import FAULTS_SHOWN, ask
from engines.errors import EngineFailed
from engines.replay.playing import Contender
from engines.structure import faults

BASELINE = "on_demand_only"
RIVAL = "cheapest_pool"
# Built-in engines whose decisions do not depend on what an interruption costs: one play serves every such cost.
_INDIFFERENT = (BASELINE, RIVAL)
_COST = "interruption_cost_node_hours"


@dataclass(frozen=True, slots=True)
class Entrant:
    """One engine: `at` makes the contender that is told what an interruption costs (node-hours on demand)."""

    engine_id: str
    version: str
    weighs_interruptions: bool
    at: Callable[[float], Contender]


@contextmanager
def entered(catalogue: Catalogue, engine_ids: Sequence[str]) -> Iterator[dict[str, Entrant]]:
    """Open the baseline, the rival and `engine_ids`, by id; all are closed at the end.

    Raises EngineNotFound, or EngineFailed when one cannot be loaded.
    """
    with ExitStack() as stack:
        found = {}
        for engine_id in dict.fromkeys((BASELINE, RIVAL, *engine_ids)):
            opened = catalogue.open(engine_id)
            stack.callback(opened.close)
            takes_cost = _COST in catalogue.metadata(engine_id).config_schema.get("properties", {})
            found[engine_id] = _entrant(opened, takes_cost)
        yield found


def _entrant(opened: OpenedEngine, takes_cost: bool) -> Entrant:
    entry = opened.entry

    def decide(given: DecisionInput) -> DecisionOutput:
        output = ask(opened, given)
        if found := faults(given, output):
            raise EngineFailed(entry.engine_id, "its answer is no decision: " + "; ".join(found[:FAULTS_SHOWN]))
        return output

    def at(interruption_node_hours: float) -> Contender:
        config = opened.validated_config({_COST: interruption_node_hours} if takes_cost else {})
        return Contender(entry.engine_id, decide, config)

    indifferent = entry.builtin and entry.engine_id in _INDIFFERENT
    return Entrant(entry.engine_id, entry.version, not indifferent, at)
