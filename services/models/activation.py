"""Which version is active for each task: pointers in the store, the one truth of every replica."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.errors import ModelNotFound, NoActiveModel
from services.models.version import TASKS, ModelVersion, Task
from services.store.protocol import Lease, Store

KIND = "pointer"
HISTORY_KEPT = 100


class Activation(BaseModel):
    """One turn of a task's pointer; `by` is the key or setting that asked for it."""

    model_config = ConfigDict(frozen=True)

    model_id: str
    generation: int
    activated_at: datetime
    by: str


class Pointer(Activation):
    """The current turn; `previous` is the model that was active before, `history` all kept turns, newest first."""

    task: Task
    previous: str | None = None
    history: tuple[Activation, ...] = ()

    def turns_to(self, model_id: str) -> list[dict[str, Any]]:
        """The kept turns to a version, newest first: who, when, from which (None: the first one kept), generation."""
        before = [*(turn.model_id for turn in self.history[1:]), None]
        return [
            {**turn.model_dump(mode="json"), "from": old, "to": turn.model_id}
            for turn, old in zip(self.history, before, strict=True)
            if turn.model_id == model_id
        ]


class Activations:
    """Active pointers, one per task, with compare-and-set.

    The history is part of the pointer, so that a crash cannot come between the two. Every method may raise the
    store's errors; a concurrent change raises `RevisionConflict`, a lost `fence` `LeaseLost`.
    """

    def __init__(self, store: Store) -> None:
        """Nothing is read yet."""
        self._store = store

    def active(self, task: Task) -> Pointer | None:
        """The pointer, or None while nothing was ever activated."""
        return self._read(task)[0]

    def all(self) -> dict[Task, Pointer]:
        """The pointers that are set."""
        found = {task: self.active(task) for task in TASKS}
        return {task: pointer for task, pointer in found.items() if pointer is not None}

    def activate(self, version: ModelVersion, by: str, at: datetime, fence: Lease | None = None) -> Pointer:
        """Point the version's task at it, one generation on; also when it is active already."""
        return self._turn(version.task, version.model_id, by, at, fence)

    def before(self, task: Task) -> str:
        """The model a rollback would activate.

        Raises `NoActiveModel` when the task has no pointer, `ModelNotFound` when there was none before.
        """
        pointer = self.active(task)
        if pointer is None:
            raise NoActiveModel(task)
        if pointer.previous is None:
            raise ModelNotFound(f"the one before {pointer.model_id}")
        return pointer.previous

    def uses(self, model_id: str) -> list[Task]:
        """The tasks that the version is active for."""
        return [task for task, pointer in self.all().items() if pointer.model_id == model_id]

    def apply_default(self, wanted: str | None, versions: Sequence[ModelVersion], at: datetime) -> list[str]:
        """Activate what MODEL_ACTIVE_VERSION asks for, for tasks without a pointer; returns warnings.

        `wanted` is `name:version`, or a version alone, which means per task the newest upload that has it.
        """
        if not wanted:
            return []
        have = self.all()
        matches = [v for v in versions if wanted in (v.model_id, v.version)]
        for task in TASKS:
            of_task = [v for v in matches if v.task == task]
            if task not in have and of_task:
                self.activate(max(of_task, key=lambda v: v.uploaded_at), "MODEL_ACTIVE_VERSION", at)
        if matches or have:
            return []
        return [f"MODEL_ACTIVE_VERSION={wanted}: no uploaded model has this version, so no model is active yet"]

    def _turn(self, task: Task, model_id: str, by: str, at: datetime, fence: Lease | None) -> Pointer:
        current, revision = self._read(task)
        turn = Activation(
            model_id=model_id, generation=(current.generation if current else 0) + 1, activated_at=at, by=by
        )
        pointer = Pointer(
            **turn.model_dump(),
            task=task,
            previous=_previous(current, model_id),
            history=(turn, *(current.history if current else ()))[:HISTORY_KEPT],
        )
        self._store.put(KIND, f"model/{task}", _stored(pointer), expected=revision, fence=fence)
        return pointer

    def _read(self, task: Task) -> tuple[Pointer | None, int]:
        document = self._store.get(KIND, f"model/{task}")
        if document is None:
            return None, 0
        return Pointer.model_validate(document.value), document.revision


def _previous(current: Pointer | None, model_id: str) -> str | None:
    """What a rollback goes back to; activating the active model again does not forget it."""
    if current is None:
        return None
    return current.previous if current.model_id == model_id else current.model_id


def _stored(pointer: Pointer) -> dict[str, Any]:
    return pointer.model_dump(mode="json")
