"""Clusters that are pulled from the central platform: those that it names, for as long as it names them."""

import threading
from datetime import UTC, datetime

import structlog

from services.errors import StoreError
from services.live.clusters import Clusters
from services.live.platform import Platform

BY = "central platform"
_log = structlog.get_logger(__name__)


class ClusterPuller:
    """Asks on a thread of its own. A cluster that somebody has PUT here is that one's, whatever the platform says."""

    def __init__(self, platform: Platform, clusters: Clusters, every_s: float) -> None:
        self._platform = platform
        self._clusters = clusters
        self._every_s = every_s

    def run(self, stop: threading.Event) -> None:
        """Pull at once, then every so many seconds, until `stop`."""
        while not stop.is_set():
            try:
                self.pull()
            except StoreError as error:
                _log.warning("clusters_not_kept", error=type(error).__name__)
            except Exception:  # noqa: BLE001 - the clusters stay as they are, and the next look tries again
                _log.exception("clusters_not_pulled")
            stop.wait(self._every_s)

    def pull(self) -> int:
        """Take over what the platform says; how many clusters it named. Where it does not say, nothing changes."""
        told = self._platform.clusters()
        if told is None:
            return 0
        now = datetime.now(UTC)
        for cluster in told:
            self._clusters.take_over(cluster, BY, now)
        for cluster_id in self._clusters.taken_over(BY) - {cluster.cluster_id for cluster in told}:
            self._clusters.remove(cluster_id)
        return len(told)
