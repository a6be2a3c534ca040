"""Which engine decides: a pointer in the store with its validated config, one generation per selection."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.store.protocol import Store

KIND = "pointer"
KEY = "engine"


class Selected(BaseModel):
    """The engine that decides, since when, and on whose word."""

    model_config = ConfigDict(frozen=True)

    engine_id: str
    config: dict[str, Any]
    generation: int
    selected_at: datetime
    by: str


class EngineSelection:
    """The pointer, with compare-and-set: a concurrent change raises `RevisionConflict`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def current(self) -> Selected | None:
        """What was selected last; None while nothing ever was."""
        document = self._store.get(KIND, KEY)
        return Selected.model_validate(document.value) if document else None

    def select(self, engine_id: str, config: dict[str, Any], by: str, at: datetime) -> Selected:
        """Point to an engine whose config has been validated."""
        document = self._store.get(KIND, KEY)
        generation = int(document.value["generation"]) + 1 if document else 1
        selected = Selected(engine_id=engine_id, config=config, generation=generation, selected_at=at, by=by)
        expected = document.revision if document else 0
        self._store.put(KIND, KEY, selected.model_dump(mode="json"), expected=expected)
        return selected
