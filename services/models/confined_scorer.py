"""Scores a model that cannot be compiled, in a confined child of its own."""

import asyncio
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.sandbox import ConfinedChild, Program
from engines.sandbox_errors import ChildTimedOut, ConfinementFailed, ProgramRaised, SandboxError
from engines.sandbox_limits import USUAL, Confinement, Limits
from services.errors import ModelBusy, ModelCrashed, ModelTimedOut, Unavailable
from services.models.awaiting import AwaitedScorer
from services.models.quarantine import Quarantine
from services.models.scorer import Matrix, Vector

PROGRAM = Program("services.models.object_program:answer")
CALL_S = 10.0
LOAD_S = 60.0
MEMORY_BYTES = 1024**3
MOST_WAITING = 64


@dataclass(frozen=True, slots=True)
class ConfinedModel:
    """What a child needs to know of a model."""

    model_id: str
    path: Path  # the artifact
    features: tuple[str, ...]
    program: Program = PROGRAM


class ConfinedScorer(AwaitedScorer):
    """A `Scorer` over a child process; calls take turns.

    A child that crashes or hangs is killed and started again, when `Quarantine` lets it. Every method that scores
    raises `ModelTimedOut`, `ModelCrashed`, and while it is away `ModelResting` or `ModelQuarantined`; `Unavailable`
    where children cannot be confined; ValueError for values that the library refuses.
    """

    def __init__(
        self,
        model: ConfinedModel,
        quarantine: Quarantine,
        timeout_s: float = CALL_S,
        confinement: Confinement = USUAL,
    ) -> None:
        """Load the artifact; raises as scoring does. `timeout_s` is for one answer, on the wall."""
        self._confinement = confinement
        self._model = model
        self._quarantine = quarantine
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._closed = False
        self._child: ConfinedChild | None = None
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, f"scoring-{model.model_id}")
        with self._lock:
            self._running()

    @property
    def features(self) -> tuple[str, ...]:
        """The columns, in order."""
        return self._model.features

    def score(self, matrix: Matrix) -> Vector:
        """See `Scorer.score`. Blocks until it is this call's turn and the child has answered."""
        if matrix.ndim != 2 or matrix.shape[1] != len(self.features):
            raise ValueError(f"a matrix of {len(self.features)} columns is needed, not of shape {matrix.shape}")
        request = np.ascontiguousarray(matrix, np.float64).tobytes()
        with self._lock:
            if self._closed:
                raise ValueError("the scorer is closed")
            child = self._running()
            try:
                answer = child.call(request, self._timeout_s) if len(matrix) else b""
            except ProgramRaised as error:
                raise ValueError(f"{error.kind}: {error.detail}") from error
            except SandboxError as error:
                raise self._failed(error) from error
            if len(answer) != 8 * len(matrix):
                raise self._failed(SandboxError("another number of scores than rows"))
            self._quarantine.answered(self._model.model_id)
        return np.frombuffer(answer, np.float64).copy()

    async def score_soon(self, matrix: Matrix) -> Vector:
        """`score`, on a thread of this model's own; raises `ModelBusy` when too many wait already."""
        if self._waiting >= MOST_WAITING:
            raise ModelBusy(self._model.model_id, self._waiting)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self.score, matrix)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._closed = True
            self._end()
        self._thread.shutdown(wait=False)

    def _running(self) -> ConfinedChild:
        """The child, started anew when it is gone and its rest is over."""
        if self._child is not None and self._child.alive:
            return self._child
        self._end()
        self._quarantine.admit(self._model.model_id)
        descriptor = os.open(self._model.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = 8 * os.fstat(descriptor).st_size
            limits = Limits(memory_bytes=MEMORY_BYTES + size, cpu_s=None, confinement=self._confinement)
            self._child = ConfinedChild(self._model.program, limits, files=(descriptor,))
            order = {"file": descriptor, "features": self._model.features}
            self._child.call(json.dumps(order).encode(), LOAD_S)
        except SandboxError as error:
            raise self._failed(error, loading=True) from error
        finally:
            os.close(descriptor)
        return self._child

    def _failed(self, error: SandboxError, *, loading: bool = False) -> ModelCrashed | ModelTimedOut | Unavailable:
        self._end()
        model_id = self._model.model_id
        if isinstance(error, ConfinementFailed):
            return Unavailable("model scoring", error.detail)
        if isinstance(error, ChildTimedOut):
            self._quarantine.failed(model_id, "timed_out")
            return ModelTimedOut(model_id, error.seconds)
        self._quarantine.failed(model_id, "not_loaded" if loading else "crashed")
        return ModelCrashed(model_id, f"{type(error).__name__}: {error}")

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None
