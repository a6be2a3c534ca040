"""Interruption warnings on their way to the loop: nodes are marked, and it decides at once, not at its next tick."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from services.errors import StoreUnavailable
from services.live.clusters import NOTICE_STANDS, Clusters
from services.store.protocol import Store

LOG = "interruptions"
KEEP = 100
LOOK_S = 0.2
_log = structlog.get_logger(__name__)

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
        while (left := until - time.monotonic()) > 0 and not stop.wait(min(left, LOOK_S)):
            if affected := self._news():
                act(affected)

    def _news(self) -> list[str]:
        try:
            entries = self._store.read(LOG, after=self._heard)
        except StoreUnavailable as error:
            _log.warning("interruptions_not_heard", detail=error.detail)
            return []
        self._heard = entries[-1].seq if entries else self._heard
        return sorted({entry.kind for entry in entries})
