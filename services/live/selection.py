"""Which engine decides: a pointer in the store with its validated config, one generation per selection."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from engines.errors import EngineNotFound, EngineNotSelected
from engines.host import EngineHost
from services.store.protocol import Lease, Store

KIND = "pointer"
KEY = "engine"


class EngineChoice(BaseModel):
    """An engine, its complete config, and the models that it names."""

    model_config = ConfigDict(frozen=True)

    engine_id: str
    config: dict[str, Any]
    models: tuple[str, ...] = ()


class Selected(EngineChoice):
    """The engine that decides, since when, and on whose word; `previous` stands in for it where it fails."""

    generation: int
    selected_at: datetime
    by: str
    previous: EngineChoice | None = None

    @property
    def wanted_models(self) -> tuple[str, ...]:
        """The models whose predictions a question must hold: its own, and those of what stands in for it."""
        return tuple(dict.fromkeys((*self.models, *(self.previous.models if self.previous else ()))))

    @property
    def before(self) -> tuple[str, dict[str, Any]] | None:
        """`previous` in the words of an engine host."""
        return (self.previous.engine_id, self.previous.config) if self.previous else None


class EngineSelection:
    """The pointer, with compare-and-set: a concurrent change raises `RevisionConflict`, a lost fence `LeaseLost`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def current(self) -> Selected | None:
        """What was selected last; None while nothing ever was."""
        document = self._store.get(KIND, KEY)
        return Selected.model_validate(document.value) if document else None

    def select(
        self,
        engine_id: str,
        config: Mapping[str, Any],
        by: str,
        at: datetime,
        *,
        models: tuple[str, ...] = (),
        fence: Lease | None = None,
    ) -> Selected:
        """Point to an engine whose config has been validated, one generation on."""
        document = self._store.get(KIND, KEY)
        current = Selected.model_validate(document.value) if document else None
        choice = EngineChoice(engine_id=engine_id, config=dict(config), models=models)
        selected = Selected(
            **choice.model_dump(),
            generation=(current.generation if current else 0) + 1,
            selected_at=at,
            by=by,
            previous=_previous(current, choice),
        )
        revision = document.revision if document else 0
        self._store.put(KIND, KEY, selected.model_dump(mode="json"), expected=revision, fence=fence)
        return selected

    def before(self) -> EngineChoice:
        """What a rollback would select; raises `EngineNotSelected`, or `EngineNotFound` when there was none before."""
        current = self.current()
        if current is None:
            raise EngineNotSelected
        if current.previous is None:
            raise EngineNotFound(f"the one before {current.engine_id}")
        return current.previous


def follow_selection(host: EngineHost, selection: EngineSelection) -> bool:
    """Bring a host to what the store says; whether it changed.

    An engine that cannot be taken up raises nothing: the host goes on with what it holds, its answers say so, and it
    tries again. Raises the store's errors.
    """
    wanted = selection.current()
    return wanted is not None and host.take_up(wanted.engine_id, wanted.config, wanted.generation, wanted.before)


def _previous(current: Selected | None, choice: EngineChoice) -> EngineChoice | None:
    """What a rollback goes back to; selecting the same again does not forget it."""
    if current is None:
        return None
    now = EngineChoice(engine_id=current.engine_id, config=current.config, models=current.models)
    return current.previous if now == choice else now
