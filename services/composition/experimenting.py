"""Experiments, put together for whichever process takes part in them."""

from services.composition.parts import Parts
from services.live.experiments.arms import Arms
from services.live.experiments.ticking import TickArms


def open_tick_arms(parts: Parts) -> TickArms:
    """The live loop's."""
    return TickArms(Arms(parts.store, parts.slots))
