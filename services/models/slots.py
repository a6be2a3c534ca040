"""The scorers that answer now: lent to requests, swapped by generation, closed when the last loan has ended."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

from services.errors import NoActiveModel
from services.models.activation import Pointer
from services.models.held import Held, Hold, Lent, Loan
from services.models.scorer import Scorer
from services.models.version import ModelVersion, Task
from services.models.warming import warm

PREPARED_FOR_S = 60.0
EXTRAS_KEPT = 4

Load = Callable[[str], tuple[Scorer, ModelVersion]]


@dataclass(frozen=True, slots=True)
class _Active:
    held: Held
    lent: Lent


@dataclass(frozen=True, slots=True)
class _Prepared:
    held: Held
    generation: int | None  # the one it was prepared for; None: whichever comes
    until: float


class Slots:
    """One slot per task. All methods may be called from any thread; `load` runs outside the lock.

    Who needs a version that is not active again and again holds it:

        hold = slots.hold("name:v2")          # loads and warms it, once for all holders; seconds
        with hold.lend() as lent:             # microseconds, no I/O
            lent.scorer.score(matrix)
        hold.release()                        # closed when the last loan has ended
    """

    def __init__(
        self,
        load: Load,
        clock: Callable[[], float] = time.monotonic,
        lift: Callable[[str], None] = lambda _model_id: None,
        extras: int = EXTRAS_KEPT,
    ) -> None:
        """`load` turns a model_id into a scorer and its version; it may raise `ModelNotFound` or `ModelRefused`.

        `lift` is called once for each swap to a version: what it broke before is forgotten. `extras` is how many of
        the versions that were lent by their id stay loaded.
        """
        self._load = load
        self._lift = lift
        self._clock = clock
        self._extras_kept = extras
        self._lifted: dict[Task, int] = {}
        self._lock = threading.Lock()
        self._active: dict[Task, _Active] = {}
        self._prepared: dict[str, _Prepared] = {}
        self._extras: OrderedDict[str, Held] = OrderedDict()
        self._loaded: WeakValueDictionary[str, Held] = WeakValueDictionary()

    # Lending

    def lend(self, task: Task) -> Loan:
        """The active scorer of a task; raises `NoActiveModel`."""
        with self._lock:
            active = self._active.get(task)
            if active is None:
                raise NoActiveModel(task)
            active.held.borrow()
        return Loan(active.held, active.lent)

    def lend_loaded(self, model_id: str) -> Loan | None:
        """Any version that is in memory already; None when it is not: `lend_version` would load it."""
        with self._lock:
            for active in self._active.values():
                if active.lent.version.model_id == model_id and active.held.borrow():
                    return Loan(active.held, active.lent)
            held = self._borrowed(model_id)
        return Loan(held, Lent(held.scorer, held.version, 0)) if held else None

    def lend_version(self, model_id: str) -> Loan:
        """Any version by its id, for tests of a model; a few are kept loaded. Raises what `load` raises.

        Takes seconds when it is not loaded: call it off the event loop.
        """
        loan = self.lend_loaded(model_id)
        if loan is not None:
            return loan
        fresh = self._warmed(model_id)
        fresh.borrow()
        self._keep(fresh)
        return Loan(fresh, Lent(fresh.scorer, fresh.version, 0))

    def keep(self, model_id: str) -> None:
        """Load a version and lend it to nobody yet; it stays as `lend_version` would leave it."""
        self._keep(self._warmed(model_id))

    def hold(self, model_id: str) -> Hold:
        """Keep any version loaded and warm until the hold is released; holders of one version share its scorer.

        Raises what `load` raises. Takes seconds when it is not loaded: call it off the event loop.
        """
        with self._lock:
            held = self._borrowed(model_id)
        return Hold(held or self._warmed(model_id))

    # Swapping

    def prepare(self, model_id: str, generation: int | None = None) -> ModelVersion:
        """Load and warm a version, so that `activate` only swaps a reference; kept for 60 s.

        With a `generation` it answers for that one only. Always loaded anew, so that a swap to a version that has
        broken down begins afresh. Raises what `load` raises.
        """
        self._lift(model_id)
        held = self._warmed(model_id)
        with self._lock:
            dropped = [self._prepared.pop(model_id, None)]
            self._prepared[model_id] = _Prepared(held, generation, self._clock() + PREPARED_FOR_S)
        _give_back(prepared.held for prepared in dropped if prepared)
        self.expire()
        return held.version

    def discard(self, model_id: str) -> None:
        """Forget a version that is not active: another replica could not prepare it, or it was deleted."""
        with self._lock:
            prepared = self._prepared.pop(model_id, None)
            extra = self._extras.pop(model_id, None)
            if model_id not in {active.lent.version.model_id for active in self._active.values()}:
                self._loaded.pop(model_id, None)
        _give_back([prepared.held if prepared else None, extra])

    def activate(self, pointer: Pointer) -> None:
        """Let the pointer's version answer; an older generation than the current one is ignored.

        Loads the version when it was not prepared; raises what `load` raises, and then the slot stays as it was.
        """
        if self.generation(pointer.task) >= pointer.generation:
            return
        self.expire()
        with self._lock:
            ready = self._prepared.get(pointer.model_id)
            if ready is not None and ready.generation in (None, pointer.generation):
                del self._prepared[pointer.model_id]
            else:
                ready = None
        held = ready.held if ready else self._unprepared(pointer)
        turned = _Active(held, Lent(held.scorer, held.version, pointer.generation))
        with self._lock:
            current = self._active.get(pointer.task)
            late = current is not None and current.lent.generation >= pointer.generation
            if not late:
                self._active[pointer.task] = turned
        old = turned if late else current
        _give_back([old.held if old else None])

    def reconcile(self, pointers: Mapping[Task, Pointer]) -> list[Task]:
        """Bring the slots to what the store says; the tasks that changed.

        Raises what `load` raised for the first task that could not be brought there, after it has tried them all.
        """
        self.expire()
        failed: list[Exception] = []
        behind = [task for task, pointer in pointers.items() if self.generation(task) < pointer.generation]
        for task in behind:
            try:
                self.activate(pointers[task])
            except Exception as error:  # noqa: BLE001 - one task's model must not keep the other's back
                failed.append(error)
        if failed:
            raise failed[0]
        return behind

    def expire(self) -> None:
        """Close what was prepared and never activated."""
        now = self._clock()
        with self._lock:
            expired = [model_id for model_id, prepared in self._prepared.items() if prepared.until < now]
            dropped = [self._prepared.pop(model_id).held for model_id in expired]
        _give_back(dropped)

    # Looking

    def generation(self, task: Task) -> int:
        """The generation that answers now; 0 when none."""
        with self._lock:
            active = self._active.get(task)
        return active.lent.generation if active else 0

    def versions(self) -> dict[Task, ModelVersion]:
        """The version that answers for each task."""
        with self._lock:
            return {task: active.lent.version for task, active in self._active.items()}

    def close(self) -> None:
        """Let go of all; scorers that are lent or held close when that ends."""
        with self._lock:
            everything = [active.held for active in self._active.values()]
            everything += [prepared.held for prepared in self._prepared.values()]
            everything += self._extras.values()
            self._active, self._prepared, self._extras = {}, {}, OrderedDict()
        _give_back(everything)

    def _keep(self, held: Held) -> None:
        """The use that `held` was born with becomes that of the extras."""
        model_id = held.version.model_id
        with self._lock:
            dropped = [self._extras.pop(model_id, None)]
            self._extras[model_id] = held
            while len(self._extras) > self._extras_kept:
                dropped.append(self._extras.popitem(last=False)[1])
        _give_back(dropped)

    def _borrowed(self, model_id: str) -> Held | None:
        """Under the lock: what is loaded, with one more use."""
        if model_id in self._extras:
            self._extras.move_to_end(model_id)
        held = self._loaded.get(model_id)
        return held if held is not None and held.borrow() else None

    def _unprepared(self, pointer: Pointer) -> Held:
        """A replica that was away while the others prepared; a model that breaks at each try is not lifted again."""
        with self._lock:
            anew = self._lifted.get(pointer.task) != pointer.generation
            self._lifted[pointer.task] = pointer.generation
        if anew:
            self._lift(pointer.model_id)
        return self._warmed(pointer.model_id)

    def _warmed(self, model_id: str) -> Held:
        scorer, version = self._load(model_id)
        try:
            warm(scorer, version)
        except BaseException:
            scorer.close()
            raise
        held = Held(scorer, version)
        with self._lock:
            self._loaded[version.model_id] = held
        return held


def _give_back(held: Iterable[Held | None]) -> None:
    """Outside the lock, for the last use closes the scorer."""
    for one in held:
        if one is not None:
            one.give_back()
