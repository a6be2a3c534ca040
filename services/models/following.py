"""A process that no broadcast reaches looks at the pointers itself: at each tick, at each look of the gap filler."""

import structlog

from services.errors import ModelError, Unavailable
from services.models.activation import Activations
from services.models.slots import Slots

_log = structlog.get_logger(__name__)


def follow_pointers(slots: Slots, activations: Activations) -> None:
    """Answer with what the store says; a version that cannot be loaded leaves the one before, and is said in the log.

    Raises the store's errors.
    """
    try:
        slots.reconcile(activations.all())
    except (ModelError, Unavailable) as error:
        _log.warning("pointer_not_followed", error=type(error).__name__, detail=str(error)[:400])
