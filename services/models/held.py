"""A loaded scorer with the count of those who use it: closed once, when the last of them has given it back."""

import threading
from dataclasses import dataclass
from types import TracebackType

from services.models.scorer import Scorer
from services.models.version import ModelVersion


@dataclass(frozen=True, slots=True)
class Lent:
    """What a request works with from its first line to its last."""

    scorer: Scorer
    version: ModelVersion
    generation: int  # 0 for a version lent by its id that is not active


class Held:
    """Born with one use, its maker's; every slot, hold and loan is one more."""

    __slots__ = ("__weakref__", "_lock", "_uses", "scorer", "version")

    def __init__(self, scorer: Scorer, version: ModelVersion) -> None:
        """Takes the scorer over: nobody else may close it."""
        self.scorer = scorer
        self.version = version
        self._lock = threading.Lock()
        self._uses = 1

    def borrow(self) -> bool:
        """One more use; False when the last one has gone, and the scorer with it."""
        with self._lock:
            if self._uses == 0:
                return False
            self._uses += 1
        return True

    def give_back(self) -> None:
        """One use less; the last one closes the scorer."""
        with self._lock:
            self._uses -= 1
            over = self._uses == 0
        if over:
            self.scorer.close()


class Loan:
    """`with slots.lend(task) as lent:`; the scorer stays open until the block ends."""

    __slots__ = ("_held", "_lent")

    def __init__(self, held: Held, lent: Lent) -> None:
        """Made by `Slots` and `Hold`, which have counted it as a use already."""
        self._held = held
        self._lent = lent

    def __enter__(self) -> Lent:
        return self._lent

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.give_back()


class Hold:
    """A version kept loaded and warm until `release`, active or not; made by `Slots.hold`.

    `lend` takes microseconds, does no I/O and may be called from any thread, the event loop's too.
    """

    def __init__(self, held: Held) -> None:
        """The use that the maker has counted becomes this hold's."""
        self._held = held
        self._lock = threading.Lock()
        self._released = False
        self._lent = Lent(held.scorer, held.version, 0)

    @property
    def version(self) -> ModelVersion:
        """What is held."""
        return self._held.version

    def lend(self) -> Loan:
        """The scorer, with generation 0; raises ValueError after `release`."""
        with self._lock:
            if self._released:
                raise ValueError(f"{self.version.model_id} is not held any more")
            self._held.borrow()
        return Loan(self._held, self._lent)

    def release(self) -> None:
        """Let go; loans that are out end first. Nothing happens the second time."""
        with self._lock:
            released, self._released = self._released, True
        if not released:
            self._held.give_back()

    def __enter__(self) -> "Hold":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
