"""An opened engine with the count of its loans: closed once, when it is retired and nobody has it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from engines.catalogue import OpenedEngine

Choice = tuple[str, Mapping[str, Any]]  # an engine_id and its config


@dataclass(frozen=True, slots=True)
class Selection:
    """Which engine decides, with its complete config; `generation` grows with each selection.

    `before` is what stands in for it where it fails: the selection before it.
    """

    engine_id: str
    version: str
    config: dict[str, Any]
    generation: int
    before: Choice | None = None


class Slot:
    """Thread-safe; whoever borrows must do so before it is retired, which its holder sees to."""

    def __init__(self, selection: Selection, opened: OpenedEngine, prepared_at_s: float) -> None:
        self.selection = selection
        self.opened = opened
        self.prepared_at_s = prepared_at_s
        self._lock = threading.Lock()
        self._loans = 0
        self._retired = False

    def borrow(self) -> "Slot":
        """Count one loan more."""
        with self._lock:
            self._loans += 1
        return self

    @contextmanager
    def borrowed(self) -> Iterator["Slot"]:
        """Give a loan that was taken back at the end of the block."""
        try:
            yield self
        finally:
            with self._lock:
                self._loans -= 1
                over = self._retired and self._loans == 0
            if over:
                self.opened.close()

    def retire(self) -> None:
        """Close it as soon as its last loan has ended; nothing happens the second time."""
        with self._lock:
            over = not self._retired and self._loans == 0
            self._retired = True
        if over:
            self.opened.close()
