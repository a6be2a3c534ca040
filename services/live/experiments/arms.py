"""The experiments that run, held ready in each process: who answers for a pool, from memory and without I/O."""

import threading

import structlog

from services.errors import ServerError
from services.live.experiments.book import ExperimentBook
from services.live.experiments.counts import Tally
from services.live.experiments.experiment import Experiment
from services.live.experiments.trial import Trial
from services.models.held import Hold
from services.models.slots import Slots
from services.models.version import Task
from services.store.protocol import Store

_log = structlog.get_logger(__name__)


class Arms:
    """Brings itself to the store with each `follow`; everything else answers from memory, from any thread."""

    def __init__(self, store: Store, slots: Slots) -> None:
        """Knows of no experiment before the first `follow`."""
        self.book = ExperimentBook(store)
        self.tally = Tally(store)
        self._slots = slots
        self._following = threading.Lock()
        self._holds: dict[str, Hold] = {}
        self._trials: dict[Task, Trial] = {}

    def follow(self) -> None:
        """Take up what has changed, load what is missing, and write what was counted. Raises the store's errors."""
        with self._following:
            running = self.book.running()
            for task in self._trials.keys() - running.keys():
                del self._trials[task]
            wanted = {arm.model_id for one in running.values() for arm in one.arms[1:]}
            self._hold(wanted)
            for task, experiment in running.items():
                ready = {name: self._holds[name] for name in wanted & self._holds.keys()}
                known = self._trials.get(task)
                if known is None or known.experiment != experiment or not known.has(ready):
                    self._trials[task] = Trial(experiment, ready)
            self.tally.flush(one.experiment_id for one in running.values())

    def trial(self, task: Task, active: str) -> Trial | None:
        """The task's experiment; None where none runs, or its control is not what is `active` any more."""
        trial = self._trials.get(task)
        return trial if trial is not None and trial.experiment.control.model_id == active else None

    def running(self) -> dict[Task, Experiment]:
        """As this process saw them last."""
        return {task: trial.experiment for task, trial in self._trials.items()}

    def close(self) -> None:
        """Let all go; what was counted is written once more."""
        with self._following:
            ids = [trial.experiment_id for trial in self._trials.values()]
            self._trials = {}
            self._hold(set())
            self.tally.flush(ids)

    def _hold(self, wanted: set[str]) -> None:
        for model_id in self._holds.keys() - wanted:
            self._holds.pop(model_id).release()
        for model_id in wanted - self._holds.keys():
            try:
                self._holds[model_id] = self._slots.hold(model_id)
            except ServerError as error:
                _log.warning("challenger_not_loaded", model_id=model_id, error=str(error)[:400])
