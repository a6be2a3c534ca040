"""Interruption warnings on their way to the loop: nodes are marked, and it decides at once, not at its next tick."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from services.live.clusters import NOTICE_STANDS, Clusters
from services.store.protocol import Store

LOG = "interruptions"
KEEP = 100
LOOK_S = 0.5

# Decides for these clusters now.
Act = Callable[[Sequence[str]], None]


class Interruptions:
    """Told by any process, heard by the loop."""

    def __init__(self, store: Store) -> None:
        """What was told before is not heard: the first tick decides for every cluster anyway."""
        self._store = store
        self._heard = store.span(LOG)[1]

    def tell(self, node: str, at: datetime) -> list[str]:
        """AWS takes a spot node (its instance id or name); the clusters that it belongs to are decided for anew."""
        if datetime.now(UTC) - at > NOTICE_STANDS:
            return []
        affected = Clusters(self._store).notice(node, at)
        for cluster_id in affected:
            self._store.append(LOG, cluster_id, at, b"")
        if affected:
            self._store.trim(LOG, KEEP)
        return affected

    def wait(self, stop: threading.Event, seconds: float, act: Act) -> None:
        """Return after so many seconds, or at `stop`; act meanwhile on what is told."""
        until = time.monotonic() + seconds
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            if self._store.wait(LOG, self._heard, min(left, LOOK_S)):
                entries = self._store.read(LOG, after=self._heard)
                self._heard = entries[-1].seq if entries else self._store.span(LOG)[1]
                if entries:
                    act(sorted({entry.kind for entry in entries}))
