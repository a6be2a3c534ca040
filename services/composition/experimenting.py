"""Experiments, put together for whichever process takes part in them."""

from gapfill.history import History
from services.audit import Audit
from services.composition.parts import Parts
from services.live.experiments.arms import Arms
from services.live.experiments.room import ExperimentRoom, Tools
from services.live.experiments.shadow import Shadow
from services.live.experiments.standing import LedgerOutcomes
from services.live.experiments.ticking import TickArms
from services.models.shelf import Shelf
from services.models.swapping import Swaps


def open_tick_arms(parts: Parts) -> TickArms:
    """The live loop's."""
    return TickArms(Arms(parts.store, parts.slots))


def open_experiments(parts: Parts, swaps: Swaps, history: History, market_id: str) -> ExperimentRoom:
    """Where experiments are begun and ended, and whose arms answer requests."""
    arms = Arms(parts.store, parts.slots)
    shelf = Shelf(parts.settings.model_dir)
    outcomes = LedgerOutcomes(history)
    tools = Tools(parts.store, shelf, parts.activations, parts.slots, swaps, Audit(parts.store), outcomes, market_id)
    return ExperimentRoom(tools, arms, Shadow(arms.tally))
