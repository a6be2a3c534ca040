"""The clusters that the server knows, and the latest decision for each."""

from datetime import datetime
from typing import Any

from engines.contract import Cluster
from services.errors import ClusterUnknown
from services.store.protocol import Store

KIND = "cluster"
MOST_CLUSTERS = 100_000


class Clusters:
    """Clusters in the store; the loop decides for each of them at each tick."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, cluster: Cluster, by: str, at: datetime) -> bool:
        """Register or replace; whether it is new."""
        value = {"cluster": cluster.model_dump(mode="json"), "by": by, "at": at.isoformat()}
        return self._store.put(KIND, cluster.cluster_id, value) == 1

    def get(self, cluster_id: str) -> Cluster:
        """The cluster as last put; raises `ClusterUnknown`."""
        document = self._store.get(KIND, cluster_id)
        if document is None:
            raise ClusterUnknown(cluster_id)
        return Cluster.model_validate(document.value["cluster"])

    def remove(self, cluster_id: str) -> None:
        """Forget it; raises `ClusterUnknown`."""
        if not self._store.delete(KIND, cluster_id):
            raise ClusterUnknown(cluster_id)

    def all(self) -> list[Cluster]:
        """Every cluster, by id."""
        return [
            Cluster.model_validate(document.value["cluster"])
            for document in self._store.find(KIND, limit=MOST_CLUSTERS)
        ]

    def confirmed(self) -> dict[str, datetime]:
        """When each cluster was last put."""
        found = self._store.find(KIND, limit=MOST_CLUSTERS)
        return {document.key: datetime.fromisoformat(document.value["at"]) for document in found}

    def rows(self) -> list[dict[str, Any]]:
        """Ids and sizes, for a list."""
        return [
            {"cluster_id": d.key, "nodes": len(d.value["cluster"]["nodes"]), "updated_at": d.value["at"]}
            for d in self._store.find(KIND, limit=MOST_CLUSTERS)
        ]
