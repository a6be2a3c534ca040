"""The scorers that answer now: lent to requests, swapped by generation, closed when the last loan has ended."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from services.errors import NoActiveModel
from services.models.activation import Pointer
from services.models.scorer import Scorer
from services.models.version import ModelVersion, Task

PREPARED_FOR_S = 60.0
EXTRAS_KEPT = 4

Load = Callable[[str], tuple[Scorer, ModelVersion]]


@dataclass(frozen=True, slots=True)
class Lent:
    """What a request works with from its first line to its last."""

    scorer: Scorer
    version: ModelVersion
    generation: int  # 0 for a version lent by its id that is not active


class Loan:
    """`with slots.lend(task) as lent:`; the scorer stays open until the block ends."""

    __slots__ = ("_held",)

    def __init__(self, held: "_Held") -> None:
        self._held = held

    def __enter__(self) -> Lent:
        return self._held.lent

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.give_back()


class Slots:
    """One slot per task. All methods may be called from any thread; `load` runs outside the lock."""

    def __init__(self, load: Load, clock: Callable[[], float] = time.monotonic) -> None:
        """`load` turns a model_id into a scorer and its version; it may raise `ModelNotFound` or `ModelRefused`."""
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._active: dict[Task, _Held] = {}
        self._prepared: dict[str, tuple[_Held, float]] = {}
        self._extras: OrderedDict[str, _Held] = OrderedDict()

    def lend(self, task: Task) -> Loan:
        """The active scorer of a task; raises `NoActiveModel`."""
        with self._lock:
            held = self._active.get(task)
            if held is None:
                raise NoActiveModel(task)
            held.borrow()
        return Loan(held)

    def lend_version(self, model_id: str) -> Loan:
        """Any version by its id, for tests of a model; a few are kept loaded. Raises what `load` raises."""
        with self._lock:
            held = self._find(model_id)
            if held is not None:
                held.borrow()
                return Loan(held)
        fresh = self._warmed(model_id, 0)
        fresh.borrow()
        with self._lock:
            replaced = self._extras.pop(model_id, None)
            self._extras[model_id] = fresh
            dropped = [replaced] if replaced else []
            while len(self._extras) > EXTRAS_KEPT:
                dropped.append(self._extras.popitem(last=False)[1])
        for old in dropped:
            old.retire()
        return Loan(fresh)

    def prepare(self, model_id: str) -> ModelVersion:
        """Load and warm a version, so that `activate` only swaps a reference; kept for 60 s.

        Raises what `load` raises.
        """
        held = self._warmed(model_id, 0)
        with self._lock:
            stale = self._pop_expired()
            before = self._prepared.pop(model_id, None)
            self._prepared[model_id] = (held, self._clock() + PREPARED_FOR_S)
        for old in stale + ([before[0]] if before else []):
            old.retire()
        return held.lent.version

    def discard(self, model_id: str) -> None:
        """Forget a version that is not active: another replica could not prepare it, or it was deleted."""
        with self._lock:
            before = self._prepared.pop(model_id, None)
            extra = self._extras.pop(model_id, None)
        for held in ([before[0]] if before else []) + ([extra] if extra else []):
            held.retire()

    def activate(self, pointer: Pointer) -> None:
        """Let the pointer's version answer; an older generation than the current one is ignored.

        Loads the version when it was not prepared; raises what `load` raises, and then the slot stays as it was.
        """
        if self.generation(pointer.task) >= pointer.generation:
            return
        with self._lock:
            ready = self._prepared.pop(pointer.model_id, None)
        held = ready[0] if ready else self._warmed(pointer.model_id, pointer.generation)
        held.lent = Lent(held.lent.scorer, held.lent.version, pointer.generation)
        with self._lock:
            current = self._active.get(pointer.task)
            late = current is not None and current.lent.generation >= pointer.generation
            if not late:
                self._active[pointer.task] = held
        old = held if late else current
        if old is not None:
            old.retire()

    def reconcile(self, pointers: Mapping[Task, Pointer]) -> list[Task]:
        """Bring the slots to what the store says; the tasks that changed. Raises what `load` raises."""
        behind = [task for task, pointer in pointers.items() if self.generation(task) < pointer.generation]
        for task in behind:
            self.activate(pointers[task])
        return behind

    def generation(self, task: Task) -> int:
        """The generation that answers now; 0 when none."""
        with self._lock:
            held = self._active.get(task)
        return held.lent.generation if held else 0

    def versions(self) -> dict[Task, ModelVersion]:
        """The version that answers for each task."""
        with self._lock:
            return {task: held.lent.version for task, held in self._active.items()}

    def close(self) -> None:
        """Retire all; scorers that are lent close when their loans end."""
        with self._lock:
            everything = [*self._active.values(), *(held for held, _ in self._prepared.values())]
            everything += self._extras.values()
            self._active, self._prepared, self._extras = {}, {}, OrderedDict()
        for held in everything:
            held.retire()

    def _find(self, model_id: str) -> "_Held | None":
        for held in self._active.values():
            if held.lent.version.model_id == model_id:
                return held
        if model_id in self._extras:
            self._extras.move_to_end(model_id)
        return self._extras.get(model_id)

    def _warmed(self, model_id: str, generation: int) -> "_Held":
        scorer, version = self._load(model_id)
        scorer.score(np.zeros((1, len(scorer.features))))
        return _Held(Lent(scorer, version, generation))

    def _pop_expired(self) -> "list[_Held]":
        now = self._clock()
        expired = [model_id for model_id, (_, until) in self._prepared.items() if until < now]
        return [self._prepared.pop(model_id)[0] for model_id in expired]


class _Held:
    """A scorer with the count of its loans; closed once, when it is retired and nobody has it."""

    __slots__ = ("_loans", "_lock", "_retired", "lent")

    def __init__(self, lent: Lent) -> None:
        self.lent = lent
        self._lock = threading.Lock()
        self._loans = 0
        self._retired = False

    def borrow(self) -> None:
        with self._lock:
            self._loans += 1

    def give_back(self) -> None:
        with self._lock:
            self._loans -= 1
            over = self._retired and self._loans == 0
        if over:
            self.lent.scorer.close()

    def retire(self) -> None:
        with self._lock:
            over = not self._retired and self._loans == 0
            self._retired = True
        if over:
            self.lent.scorer.close()
