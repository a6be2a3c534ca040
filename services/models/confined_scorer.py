"""Scores a model that cannot be compiled, in a confined child of its own."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engines.sandbox import ConfinedChild, Program
from engines.sandbox_errors import ProgramRaised, SandboxError
from engines.sandbox_limits import Limits
from services.errors import Unavailable
from services.models.scorer import Matrix, Vector

PROGRAM = Program("services.models.object_program:answer")
CALL_S = 10.0
LOAD_S = 60.0
LONGEST_REST_S = 60.0
QUARANTINE_AFTER = 5
MEMORY_BYTES = 1024**3


class ConfinedScorer:
    """A `Scorer` over a child process; calls take turns.

    A child that crashes or hangs is killed and started again, each time after a longer rest; after
    `quarantine_after` crashes in a row it stays away until the model is activated anew. Meanwhile `score` raises
    `Unavailable`.
    """

    def __init__(
        self,
        path: Path,
        features: tuple[str, ...],
        timeout_s: float = CALL_S,
        clock: Callable[[], float] = time.monotonic,
        quarantine_after: int = QUARANTINE_AFTER,
    ) -> None:
        """Load the artifact at `path`; raises `Unavailable` when it cannot be."""
        self._path = path
        self._features = features
        self._timeout_s = timeout_s
        self._clock = clock
        self._quarantine_after = quarantine_after
        self._lock = threading.Lock()
        self._crashes = 0
        self._rest_until = 0.0
        self._closed = False
        self._child: ConfinedChild | None = None
        with self._lock:
            self._running()

    @property
    def features(self) -> tuple[str, ...]:
        """The columns, in order."""
        return self._features

    def score(self, matrix: Matrix) -> Vector:
        """See `Scorer.score`; raises `Unavailable` while the child cannot answer."""
        if matrix.ndim != 2 or matrix.shape[1] != len(self._features):
            raise ValueError(f"a matrix of {len(self._features)} columns is needed, not of shape {matrix.shape}")
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
            self._crashes = 0
        return np.frombuffer(answer, np.float64).copy()

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._closed = True
            self._end()

    def _running(self) -> ConfinedChild:
        """The child, started anew when it is gone and its rest is over."""
        if self._child is not None and self._child.alive:
            return self._child
        self._end()
        if self._crashes >= self._quarantine_after:
            raise Unavailable("model", f"it crashed {self._crashes} times in a row and is kept out; activate it again")
        if self._clock() < self._rest_until:
            raise Unavailable("model", "it crashed and is about to be started again")
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = 8 * os.fstat(descriptor).st_size
            limits = Limits(memory_bytes=MEMORY_BYTES + size, cpu_s=None)
            self._child = ConfinedChild(PROGRAM, limits, files=(descriptor,))
            order = {"file": descriptor, "features": self._features}
            self._child.call(json.dumps(order).encode(), LOAD_S)
        except SandboxError as error:
            raise self._failed(error) from error
        finally:
            os.close(descriptor)
        return self._child

    def _failed(self, error: SandboxError) -> Unavailable:
        self._end()
        self._crashes += 1
        self._rest_until = self._clock() + min(2.0 ** (self._crashes - 1), LONGEST_REST_S)
        return Unavailable("model", f"{type(error).__name__}: {error}")

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None
