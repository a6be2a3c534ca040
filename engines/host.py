"""Holds the selected engine: swaps it in two phases, lends it, and lets the last good one decide where it fails."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engines.catalogue import Catalogue
from engines.contract import DecisionInput, DecisionOutput, StoodInFor
from engines.deciding import decided
from engines.errors import EngineFailed, EngineNotSelected, EnginesError, SelectionStale
from engines.loans import Choice, Selection, Slot
from engines.samples import sample_input

__all__ = ["PREPARED_EXPIRES_AFTER_S", "EngineHost", "Selection"]

PREPARED_EXPIRES_AFTER_S = 60.0
MISSED_REST_S = 5.0
LAST_RESORTS = ("spot_optimizer_v1", "on_demand_only")


@dataclass(frozen=True, slots=True)
class _Missed:
    """A selection that could not be taken up, why, and when to try again."""

    selection: Selection
    failure: EngineFailed
    retry_at_s: float


@dataclass(slots=True)
class _Held:
    current: Slot | None = None
    missed: _Missed | None = None
    prepared: dict[int, Slot] = field(default_factory=dict)
    stand_ins: dict[str, Slot] = field(default_factory=dict)  # by role: before, or an engine_id


class EngineHost:
    """Thread-safe holder of one engine of `catalogue`; `clock` counts seconds and never goes back."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], float] = time.monotonic) -> None:
        self.catalogue = catalogue
        self._clock = clock
        self._lock = threading.Lock()
        self._taking_up = threading.Lock()
        self._held = _Held()

    @property
    def selection(self) -> Selection | None:
        """The active selection; None before the first."""
        with self._lock:
            return self._held.current.selection if self._held.current else None

    def prepare(
        self, engine_id: str, config: Mapping[str, Any], generation: int, before: Choice | None = None
    ) -> Selection:
        """Load an engine beside the active one and let it decide a sample; it waits 60 s for `activate`.

        Raises EngineNotFound, EngineConfigInvalid or EngineFailed, with the active engine untouched.
        """
        self.sweep()
        opened = self.catalogue.open(engine_id)
        try:
            validated = opened.validated_config(config)
            selection = Selection(engine_id, opened.entry.version, validated, generation, before)
            if opened.confined is not None:
                decided(opened, sample_input().model_copy(update={"config": validated}), generation)
        except EnginesError:
            opened.close()
            raise
        with self._lock:
            replaced = self._held.prepared.pop(generation, None)
            self._held.prepared[generation] = Slot(selection, opened, self._clock())
        _retire(replaced)
        return selection

    def activate(self, generation: int) -> Selection:
        """Make the prepared `generation` the active one; activating the active one again changes nothing.

        Raises SelectionStale when it is not prepared, has expired, or a later one is active.
        """
        with self._lock:
            current = self._held.current
            active = current.selection.generation if current else -1
            if current and active == generation:
                return current.selection
            slot = self._held.prepared.pop(generation, None)
            expired = slot is not None and self._clock() - slot.prepared_at_s > PREPARED_EXPIRES_AFTER_S
            accepted = slot is not None and not expired and generation > active
            retiring = [slot]
            if accepted:
                retiring = [current, *self._held.stand_ins.values()]
                self._held.current, self._held.missed, self._held.stand_ins = slot, None, {}
        _retire(*retiring)
        if slot is None or not accepted:
            raise SelectionStale(generation, active)
        return slot.selection

    def abort(self, generation: int) -> None:
        """Forget a prepared generation; unknown ones are ignored."""
        with self._lock:
            slot = self._held.prepared.pop(generation, None)
        _retire(slot)

    def select(
        self, engine_id: str, config: Mapping[str, Any], generation: int, before: Choice | None = None
    ) -> Selection:
        """Prepare and activate in one call; raises what `prepare` and `activate` raise."""
        self.prepare(engine_id, config, generation, before)
        return self.activate(generation)

    def take_up(self, engine_id: str, config: Mapping[str, Any], generation: int, before: Choice | None = None) -> bool:
        """Come to hold a selection that was made elsewhere; whether it is held anew.

        Never raises: what cannot be loaded now is tried again after a while, and until then what is held decides in
        its place. One thread loads; others go on with what there is.
        """
        self.sweep()
        if not self._is_behind(generation):
            return False
        if not self._taking_up.acquire(blocking=self.selection is None):
            return False
        try:
            return self._is_behind(generation) and self._take_up(engine_id, config, generation, before)
        finally:
            self._taking_up.release()

    def decide(self, given: DecisionInput) -> DecisionOutput:
        """Decide with the active engine and its config, whatever `given.config` holds.

        The answer is validated, its actions have their hashes as ids, and `made_by` says who decided. Where the
        selected engine fails, the selection before it decides, then a built-in one, and `made_by.stands_in_for` says
        so. Raises EngineNotSelected, or EngineFailed when none of them can.
        """
        with self._lock:
            missed, slot = self._held.missed, self._held.current
            if slot is not None:
                slot.borrow()
        if slot is None:
            if missed is None:
                raise EngineNotSelected
            return self._by_stand_in(missed.selection, given, missed.failure)
        try:
            with slot.borrowed():
                output = _decided(slot, given)
        except EngineFailed as failure:
            return self._by_stand_in(slot.selection, given, failure)
        return output if missed is None else _standing_in(output, missed.failure)

    def sweep(self) -> None:
        """Close what was prepared and never activated."""
        with self._lock:
            now, prepared = self._clock(), self._held.prepared
            expired = [g for g, slot in prepared.items() if now - slot.prepared_at_s > PREPARED_EXPIRES_AFTER_S]
            dropped = [prepared.pop(generation) for generation in expired]
        _retire(*dropped)

    def close(self) -> None:
        """Give up the active engine and all others; a decision in flight ends first."""
        with self._lock:
            held, self._held = self._held, _Held()
        _retire(held.current, *held.stand_ins.values(), *held.prepared.values())

    def _is_behind(self, generation: int) -> bool:
        with self._lock:
            held, missed = self._held.current, self._held.missed
            if held is not None and held.selection.generation >= generation:
                return False
            resting = missed is not None and self._clock() < missed.retry_at_s
            return not (missed is not None and resting and missed.selection.generation >= generation)

    def _take_up(self, engine_id: str, config: Mapping[str, Any], generation: int, before: Choice | None) -> bool:
        with self._lock:
            ready = generation in self._held.prepared
        try:
            self.activate(generation) if ready else self.select(engine_id, config, generation, before)
        except SelectionStale:
            return False
        except EnginesError as error:
            failure = error if isinstance(error, EngineFailed) else EngineFailed(engine_id, str(error), "not_started")
            selection = Selection(engine_id, "", dict(config), generation, before)
            with self._lock:
                self._held.missed = _Missed(selection, failure, self._clock() + MISSED_REST_S)
            return False
        return True

    def _by_stand_in(self, chosen: Selection, given: DecisionInput, failure: EngineFailed) -> DecisionOutput:
        resorts: list[tuple[str, Choice]] = [("before", chosen.before)] if chosen.before else []
        resorts += [(engine_id, (engine_id, {})) for engine_id in LAST_RESORTS if engine_id != chosen.engine_id]
        for role, choice in resorts:
            try:
                with self._stand_in(chosen, role, choice).borrowed() as slot:
                    return _standing_in(_decided(slot, given), failure)
            except EnginesError:
                continue
        raise failure

    def _stand_in(self, chosen: Selection, role: str, choice: Choice) -> Slot:
        """On loan; opened when it is first needed, and kept until the next selection."""
        with self._lock:
            if (held := self._held.stand_ins.get(role)) is not None:
                return held.borrow()
        opened = self.catalogue.open(choice[0])
        try:
            config = opened.validated_config(choice[1])
        except EnginesError:
            opened.close()
            raise
        selection = Selection(choice[0], opened.entry.version, config, chosen.generation)
        fresh = Slot(selection, opened, self._clock()).borrow()
        with self._lock:
            current = self._held.current
            late = current is not None and current.selection.generation > chosen.generation
            if not late and role not in self._held.stand_ins:
                self._held.stand_ins[role] = fresh
                return fresh
        fresh.retire()  # another thread was first, or a later selection was made: only this loan is served
        return fresh


def _decided(slot: Slot, given: DecisionInput) -> DecisionOutput:
    configured = given.model_copy(update={"config": slot.selection.config})
    return decided(slot.opened, configured, slot.selection.generation)


def _standing_in(output: DecisionOutput, failure: EngineFailed) -> DecisionOutput:
    assert output.made_by is not None
    why = StoodInFor(engine_id=failure.engine_id, kind=failure.kind, detail=failure.detail)
    return output.model_copy(update={"made_by": output.made_by.model_copy(update={"stands_in_for": why})})


def _retire(*slots: Slot | None) -> None:
    for slot in slots:
        if slot is not None:
            slot.retire()
