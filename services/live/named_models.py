"""The models that the selected engine names: kept loaded, and what they say of a question's pools."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import structlog

from engines.errors import EngineModelsMissing
from services.errors import ServerError
from services.live.board import FeatureBlock
from services.models.activation import Activations
from services.models.held import Hold
from services.models.predictor import predict
from services.models.scorer import Vector
from services.models.shelf import Shelf
from services.models.slots import Slots
from services.models.version import TASKS, Task

_log = structlog.get_logger(__name__)


def check_models(engine_id: str, names: Sequence[str], shelf: Shelf, activations: Activations) -> None:
    """Raises `EngineModelsMissing` for names that are neither a version that is there nor a task with an active one."""
    there = {version.model_id for version in shelf.list()} | set(activations.all())
    if missing := tuple(name for name in names if name not in there):
        raise EngineModelsMissing(engine_id, missing)


class NamedModels:
    """Holds versions of `slots` by name; a name that is a task means whatever is active for it. Thread-safe."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._lock = threading.Lock()
        self._holds: dict[str, Hold] = {}

    def hold(self, names: Sequence[str]) -> None:
        """Keep these loaded and let others go; one that cannot be loaded is said in the log, and is absent."""
        versions = {name for name in names if name not in TASKS}
        with self._lock:
            for name in self._holds.keys() - versions:
                self._holds.pop(name).release()
            for name in versions - self._holds.keys():
                try:
                    self._holds[name] = self._slots.hold(name)
                except ServerError as error:
                    _log.warning("named_model_not_loaded", model_id=name, error=str(error)[:400])

    def score(
        self, block: FeatureBlock, rows: slice | np.ndarray, names: Sequence[str], active: Mapping[Task, Vector]
    ) -> dict[str, Vector]:
        """Name → one prediction per row; `active` are those of the active models, by task, over the same rows."""
        self.hold(names)
        found: dict[str, Vector] = {name: values for name, values in active.items() if name in names}
        with self._lock:
            holds = {name: self._holds[name] for name in names if name in self._holds}
        for name, hold in holds.items():
            try:
                with hold.lend() as lent:
                    silence = block.silence_h(rows)
                    parts = (block.names, block.matrix[rows], block.imputed[rows], silence)
                    found[name] = predict(lent.scorer, lent.version, *parts).values
            except ServerError as error:
                _log.warning("named_model_not_answering", model_id=name, error=str(error)[:400])
        return found

    def close(self) -> None:
        """Let all go."""
        self.hold(())
