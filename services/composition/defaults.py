"""What the settings name as active, applied while the store has no pointer of its own; choices through the API win."""

from datetime import UTC, datetime

import structlog

from engines.errors import EngineNotFound, EnginesError
from services.composition.parts import open_catalogue
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
        catalogue = open_catalogue(settings)
        try:
            entry = catalogue.resolve(settings.engine_active)
            config = catalogue.validated_config(entry.engine_id, {})
            selection.select(entry.engine_id, config, "DECISION_ENGINE_ACTIVE", at, models=entry.models)
        except EngineNotFound:
            warnings.append(f"DECISION_ENGINE_ACTIVE={settings.engine_active}: no such engine, so none decides yet")
        except EnginesError as error:
            warnings.append(f"DECISION_ENGINE_ACTIVE={settings.engine_active}: {error}, so none decides yet")
        except RevisionConflict:
            _log.info("engine_selected_meanwhile")
    for warning in warnings:
        _log.warning("default_not_applied", detail=warning)
    return warnings
