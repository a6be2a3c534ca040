"""What the settings name as active, applied while the store has no pointer of its own; choices through the API win."""

from datetime import UTC, datetime

import structlog

from engines.catalogue import Catalogue
from engines.errors import EngineNotFound
from services.errors import RevisionConflict
from services.live.selection import EngineSelection
from services.models.activation import Activations
from services.models.shelf import Shelf
from services.settings import Settings

_log = structlog.get_logger(__name__)


def apply_defaults(settings: Settings, activations: Activations, selection: EngineSelection) -> list[str]:
    """Set the pointers that nobody has set yet; returns warnings for names that match nothing."""
    at = datetime.now(UTC)
    warnings = activations.apply_default(settings.model_active_version, Shelf(settings.model_dir).list(), at)
    if selection.current() is None:
        catalogue = Catalogue(settings.engine_dir)
        try:
            engine_id = catalogue.resolve(settings.engine_active).engine_id
            selection.select(engine_id, catalogue.validated_config(engine_id, {}), "DECISION_ENGINE_ACTIVE", at)
        except EngineNotFound:
            warnings.append(f"DECISION_ENGINE_ACTIVE={settings.engine_active}: no such engine, so none decides yet")
        except RevisionConflict:
            _log.info("engine_selected_meanwhile")
    for warning in warnings:
        _log.warning("default_not_applied", detail=warning)
    return warnings
