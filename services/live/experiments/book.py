"""Experiments in the store: one document per task holds the running one; there alone one begins and ends."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.live.experiments.errors import ExperimentEnded, ExperimentNotFound, ExperimentRunning
from services.live.experiments.experiment import Change, Experiment, Status
from services.models.version import TASKS, Task
from services.store.protocol import Store

DESK = "experiments"
PAST = "experiment"
PAST_KEPT = 500


class _Desk(BaseModel):
    """A task's experiment: the running one, or the last one that ended, which may not be in the past yet."""

    model_config = ConfigDict(frozen=True)

    newest: Experiment | None = None


class ExperimentBook:
    """Every change is one compare-and-set of the task's document: a concurrent one raises `RevisionConflict`.

    An end is that write, too; the copy among those of the past follows, and is made up for where a crash came between.
    """

    def __init__(self, store: Store) -> None:
        """Nothing is read yet."""
        self._store = store

    def running(self) -> dict[Task, Experiment]:
        """The running experiments; a read of one document per task."""
        newest = {task: self._desk(task)[0].newest for task in TASKS}
        return {task: one for task, one in newest.items() if one is not None and one.status == "running"}

    def get(self, experiment_id: str) -> Experiment:
        """Any experiment; raises `ExperimentNotFound`."""
        for task in TASKS:
            newest = self._desk(task)[0].newest
            if newest is not None and newest.experiment_id == experiment_id:
                return newest
        document = self._store.get(PAST, experiment_id)
        if document is None:
            raise ExperimentNotFound(experiment_id)
        return Experiment.model_validate(document.value)

    def list(self, limit: int = PAST_KEPT) -> list[Experiment]:
        """Newest first."""
        past = self._store.find(PAST, newest_first=True, limit=limit)
        found = {document.key: Experiment.model_validate(document.value) for document in past}
        for task in TASKS:
            if (newest := self._desk(task)[0].newest) is not None:
                found[newest.experiment_id] = newest
        return [found[key] for key in sorted(found, reverse=True)][:limit]

    def uses(self, model_id: str) -> str | None:
        """The running experiment that a version is in."""
        for one in self.running().values():
            if model_id in {arm.model_id for arm in one.arms}:
                return one.experiment_id
        return None

    def begin(self, experiment: Experiment) -> None:
        """Raises `ExperimentRunning` when the task has one."""
        desk, revision = self._desk(experiment.task)
        newest = desk.newest
        if newest is not None and newest.status == "running":
            raise ExperimentRunning(experiment.task, newest.experiment_id)
        if newest is not None:
            self._keep(newest)
        self._write(experiment, revision)

    def change(self, experiment_id: str, change: Callable[[Experiment], Experiment]) -> Experiment:
        """Change a running experiment; raises `ExperimentNotFound`, `ExperimentEnded` and what `change` raises."""
        for task in TASKS:
            desk, revision = self._desk(task)
            newest = desk.newest
            if newest is None or newest.experiment_id != experiment_id:
                continue
            if newest.status != "running":
                raise ExperimentEnded(experiment_id, newest.status)
            changed = change(newest)
            self._write(changed, revision)
            if changed.status != "running":
                self._keep(changed)
            return changed
        past = self.get(experiment_id)
        raise ExperimentEnded(experiment_id, past.status)

    def end(
        self, experiment_id: str, status: Status, by: str, at: datetime, reason: str, winner: str | None = None
    ) -> Experiment:
        """End a running experiment, once; raises as `change` does."""

        def ended(one: Experiment) -> Experiment:
            said = {"status": status, "ended_at": at, "ended_by": by, "reason": reason, "winner": winner}
            assert status != "running"
            return one.model_copy(update=said).noted(Change(at=at, by=by, what=status, reason=reason))

        return self.change(experiment_id, ended)

    def _desk(self, task: Task) -> tuple[_Desk, int]:
        document = self._store.get(DESK, task)
        return (_Desk.model_validate(document.value), document.revision) if document else (_Desk(), 0)

    def _write(self, experiment: Experiment, revision: int) -> None:
        self._store.put(DESK, experiment.task, {"newest": _stored(experiment)}, expected=revision)

    def _keep(self, experiment: Experiment) -> None:
        self._store.put(PAST, experiment.experiment_id, _stored(experiment))
        for old in self._store.find(PAST, newest_first=True, limit=PAST_KEPT + 50)[PAST_KEPT:]:
            self._store.delete(PAST, old.key)


def _stored(experiment: Experiment) -> dict[str, Any]:
    return experiment.model_dump(mode="json")
