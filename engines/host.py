"""Holds the selected engine: swaps it in two phases and lends it, so that none is closed while it decides."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from engines.canonical import canonical, digest, identified
from engines.catalogue import Catalogue, OpenedEngine
from engines.contract import DecisionInput, DecisionOutput, MadeBy
from engines.errors import EngineFailed, EngineNotSelected, SelectionStale
from engines.structure import faults

PREPARED_EXPIRES_AFTER_S = 60.0
_FAULTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Selection:
    """Which engine decides, with its complete config; `generation` grows with each selection."""

    engine_id: str
    version: str
    config: dict[str, Any]
    generation: int


@dataclass(slots=True)
class _Slot:
    selection: Selection
    opened: OpenedEngine
    prepared_at_s: float
    loans: int = 0
    retired: bool = False


@dataclass(slots=True)
class _Held:
    current: _Slot | None = None
    prepared: dict[int, _Slot] = field(default_factory=dict)


class EngineHost:
    """Thread-safe holder of one engine of `catalogue`; `clock` counts seconds and never goes back."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], float] = time.monotonic) -> None:
        self.catalogue = catalogue
        self._clock = clock
        self._lock = threading.Lock()
        self._held = _Held()

    @property
    def selection(self) -> Selection | None:
        """The active selection; None before the first."""
        with self._lock:
            return self._held.current.selection if self._held.current else None

    def prepare(self, engine_id: str, config: Mapping[str, Any], generation: int) -> Selection:
        """Load an engine beside the active one; it waits 60 s for `activate`.

        Raises EngineNotFound, EngineConfigInvalid or EngineFailed, with the active engine untouched.
        """
        validated = self.catalogue.validated_config(engine_id, config)
        opened = self.catalogue.open(engine_id)
        selection = Selection(engine_id, opened.entry.version, validated, generation)
        with self._lock:
            now = self._clock()
            expired = [g for g, s in self._held.prepared.items() if now - s.prepared_at_s > PREPARED_EXPIRES_AFTER_S]
            dropped = [self._held.prepared.pop(g) for g in {*expired, generation} if g in self._held.prepared]
            self._held.prepared[generation] = _Slot(selection, opened, now)
        for slot in dropped:
            slot.opened.close()
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
            if accepted := slot is not None and not expired and generation > active:
                self._held.current = slot
            closable = self._retire(current) if accepted else slot
        if closable is not None:
            closable.opened.close()
        if slot is None or not accepted:
            raise SelectionStale(generation, active)
        return slot.selection

    def abort(self, generation: int) -> None:
        """Forget a prepared generation; unknown ones are ignored."""
        with self._lock:
            slot = self._held.prepared.pop(generation, None)
        if slot is not None:
            slot.opened.close()

    def select(self, engine_id: str, config: Mapping[str, Any], generation: int) -> Selection:
        """Prepare and activate in one call; raises what `prepare` and `activate` raise."""
        self.prepare(engine_id, config, generation)
        return self.activate(generation)

    def decide(self, given: DecisionInput) -> DecisionOutput:
        """Decide with the active engine and its config, whatever `given.config` holds.

        The answer is validated, its actions have their hashes as ids, and `made_by` says who decided.
        Raises EngineNotSelected or EngineFailed.
        """
        with self._lend() as slot:
            chosen = slot.selection
            configured = given.model_copy(update={"config": chosen.config})
            output = _decision(slot.opened, configured)
        made_by = MadeBy(
            engine_id=chosen.engine_id,
            version=chosen.version,
            generation=chosen.generation,
            input_sha256=digest(canonical(configured)),
        )
        return identified(output, made_by)

    def close(self) -> None:
        """Give up the active engine and all prepared ones; a decision in flight ends first."""
        with self._lock:
            current, prepared = self._held.current, list(self._held.prepared.values())
            self._held = _Held()
            closable = [slot for slot in (self._retire(current), *prepared) if slot is not None]
        for slot in closable:
            slot.opened.close()

    @contextmanager
    def _lend(self) -> Iterator[_Slot]:
        with self._lock:
            slot = self._held.current
            if slot is None:
                raise EngineNotSelected
            slot.loans += 1
        try:
            yield slot
        finally:
            with self._lock:
                slot.loans -= 1
                last = slot.retired and slot.loans == 0
            if last:
                slot.opened.close()

    @staticmethod
    def _retire(slot: _Slot | None) -> _Slot | None:
        """Mark a slot as replaced (under the lock); return it when nobody has it on loan."""
        if slot is None:
            return None
        slot.retired = True
        return slot if slot.loans == 0 else None


def _decision(opened: OpenedEngine, given: DecisionInput) -> DecisionOutput:
    engine_id = opened.entry.engine_id
    try:
        answer = opened.engine.decide(given)
    except Exception as error:  # whatever an engine raises is its failure, not ours
        raise EngineFailed(engine_id, f"{type(error).__name__}: {error}") from error
    try:
        output = DecisionOutput.model_validate(answer)
    except ValidationError as error:
        raise EngineFailed(engine_id, f"its answer is no decision: {error}") from error
    if found := faults(given, output):
        raise EngineFailed(engine_id, "its answer is no decision: " + "; ".join(found[:_FAULTS_SHOWN]))
    return output
