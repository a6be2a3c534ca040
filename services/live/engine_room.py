"""Where decisions are made in one process: a host that follows the store's selection, and what can be done with it."""

import threading
import time
from datetime import UTC, datetime
from typing import Any

import structlog

from engines.catalogue import EngineEntry
from engines.contract import DecisionInput, DecisionOutput
from engines.errors import EngineFailed
from engines.host import EngineHost
from engines.intake import EngineOrder, admit
from engines.trial import tried
from services.errors import StoreUnavailable, Unavailable
from services.live.engine_swaps import EngineOrdered
from services.live.selection import EngineSelection, follow_selection

LOOK_EVERY_S = 1.0
_log = structlog.get_logger(__name__)


class EngineRoom:
    """Thread-safe; `start` makes it look at the store every second, so that a replica that was away catches up."""

    def __init__(self, host: EngineHost, selection: EngineSelection) -> None:
        self._host = host
        self._selection = selection
        self._stop = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="engine-follower", daemon=True)

    def start(self) -> None:
        """Take up what is selected, then follow."""
        self.follow()
        self._follower.start()

    def stop(self) -> None:
        """End following, and every engine after its last decision."""
        self._stop.set()
        if self._follower.ident is not None:
            self._follower.join(5.0)
        self._host.close()

    def follow(self) -> bool:
        """Come to hold what the store says; whether it changed."""
        try:
            return follow_selection(self._host, self._selection)
        except StoreUnavailable:
            return False  # what is held goes on deciding

    def decide(self, given: DecisionInput) -> DecisionOutput:
        """One decision per cluster; raises `EngineNotSelected`, or `EngineFailed` when nothing can stand in either."""
        self.follow()
        return self._host.decide(given)

    def prepare(self, ordered: EngineOrdered) -> dict[str, Any]:
        """See `EngineReplicas`."""
        prepared = self._host.prepare(ordered.engine_id, ordered.config, ordered.generation, ordered.before)
        return prepared.config

    def activate(self, generation: int) -> None:
        """See `EngineReplicas`; raises `SelectionStale` when it was not prepared here."""
        self._host.activate(generation)

    def abort(self, generation: int) -> None:
        """See `EngineReplicas`."""
        self._host.abort(generation)

    def admit(self, text: bytes, order: EngineOrder) -> EngineEntry:
        """Check an uploaded engine and keep it.

        Raises `EngineRefused`, `EngineExists`, and `Unavailable` where this machine cannot confine it.
        """
        try:
            return admit(self._host.catalogue, text, order, datetime.now(UTC))
        except EngineFailed as error:
            if error.kind == "not_confined":
                raise Unavailable("engine intake", error.detail) from error
            raise

    def test(self, engine_id: str, config: dict[str, Any], given: DecisionInput) -> dict[str, Any]:
        """What an engine answers, beside what the active one answers to the same; neither is selected by it.

        Raises `EngineNotFound`, `EngineConfigInvalid`.
        """
        catalogue = self._host.catalogue
        current = self._selection.current()
        began = time.perf_counter()
        asked = tried(catalogue, engine_id, config, given)
        beside = tried(catalogue, current.engine_id, current.config, given) if current else None
        _log.info("engine_tested", engine_id=engine_id, seconds=round(time.perf_counter() - began, 3))
        return {"tested": asked, "active": beside}

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            self.follow()
