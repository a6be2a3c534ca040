"""The clusters that the server knows, and the latest decision for each."""

from datetime import UTC, datetime, timedelta
from typing import Any

from engines.contract import Cluster
from services.errors import ClusterUnknown, RevisionConflict
from services.live.ledger.journal import LedgerJournal, instance_id
from services.store.protocol import Document, Store

KIND = "cluster"
MOST_CLUSTERS = 100_000
# Who only asks for a decision is decided for so long; who PUTs its cluster, until it deletes it.
REQUESTED_FOR = timedelta(hours=24)
# AWS takes an instance two minutes after its warning; a state that was gathered before that says nothing of it.
NOTICE_STANDS = timedelta(minutes=10)


class Clusters:
    """Clusters in the store; the loop decides for each of them at each tick."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, cluster: Cluster, by: str, at: datetime) -> bool:
        """Register or replace; whether it is new."""
        return self._put(cluster, by, at, self._store.get(KIND, cluster.cluster_id)) == 1

    def requested(self, cluster: Cluster, by: str, at: datetime) -> None:
        """Know a cluster from a request: for a day, and only where nobody has registered it."""
        before = self._store.get(KIND, cluster.cluster_id)
        if before is None or before.value.get("requested"):
            self._put(cluster, by, at, before, requested=True)

    def take_over(self, cluster: Cluster, by: str, at: datetime) -> bool:
        """Register or replace what is `by`'s own or nobody's; whether it was."""
        before = self._store.get(KIND, cluster.cluster_id)
        mine = before is None or before.value["by"] == by or bool(before.value.get("requested"))
        if mine:
            self._put(cluster, by, at, before)
        return mine

    def taken_over(self, by: str) -> set[str]:
        """The ids of what is `by`'s own."""
        return {one.key for one in self._store.find(KIND, limit=MOST_CLUSTERS) if one.value["by"] == by}

    def _put(self, cluster: Cluster, by: str, at: datetime, before: Document | None, *, requested: bool = False) -> int:
        state = cluster.model_dump(mode="json")
        if not requested:
            self._tell_ledger(cluster.cluster_id, cluster, before, at)
        if before is not None:
            _carry_notices(before.value["cluster"], state, at)
        value = {"cluster": state, "by": by, "at": at.isoformat()}
        return self._store.put(KIND, cluster.cluster_id, {**value, "requested": True} if requested else value)

    def _tell_ledger(self, cluster_id: str, cluster: Cluster | None, before: Document | None, at: datetime) -> None:
        """Which spot nodes it holds from now on; one that was merely asked about was held by nobody we know."""
        known = before.value if before is not None and not before.value.get("requested") else None
        LedgerJournal(self._store).tell_cluster(cluster, cluster_id, known, at)

    def notice(self, node: str, at: datetime) -> list[str]:
        """A spot node is about to be taken, as AWS announced at `at`; the clusters that it belongs to.

        `node` is its instance id or its name. An orchestrator may put the cluster anew meanwhile: its state wins, and
        the notice is carried over.
        """
        return [
            document.key
            for document in self._store.find(KIND, limit=MOST_CLUSTERS)
            if any(_is(one, node) for one in document.value["cluster"]["nodes"]) and self._mark(document, node, at)
        ]

    def _mark(self, document: Document | None, node: str, at: datetime) -> bool:
        while document is not None:
            value = document.value
            for one in value["cluster"]["nodes"]:
                if _is(one, node):
                    one["interruption_notice_at"] = at.isoformat()
            try:
                self._store.put(KIND, document.key, value, expected=document.revision)
            except RevisionConflict:
                document = self._store.get(KIND, document.key)
                continue
            return True
        return False

    def get(self, cluster_id: str) -> Cluster:
        """The cluster as last put; raises `ClusterUnknown`."""
        document = self._store.get(KIND, cluster_id)
        if document is None:
            raise ClusterUnknown(cluster_id)
        return Cluster.model_validate(document.value["cluster"])

    def remove(self, cluster_id: str) -> None:
        """Forget it; raises `ClusterUnknown`."""
        self._tell_ledger(cluster_id, None, self._store.get(KIND, cluster_id), datetime.now(UTC))
        if not self._store.delete(KIND, cluster_id):
            raise ClusterUnknown(cluster_id)

    def all(self) -> list[Cluster]:
        """Every cluster, by id."""
        return [
            Cluster.model_validate(document.value["cluster"])
            for document in self._store.find(KIND, limit=MOST_CLUSTERS)
        ]

    def current(self, now: datetime) -> list[Cluster]:
        """Every cluster, by id; those that nobody has asked for within a day are forgotten."""
        found = []
        for document in self._store.find(KIND, limit=MOST_CLUSTERS):
            asked = datetime.fromisoformat(document.value["at"])
            if document.value.get("requested") and now - asked > REQUESTED_FOR:
                self._store.delete(KIND, document.key)
            else:
                found.append(Cluster.model_validate(document.value["cluster"]))
        return found

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


def _is(node: dict[str, Any], name: str) -> bool:
    return node["node_id"] == name or instance_id(node["node_id"]) == name


def _carry_notices(before: dict[str, Any], now: dict[str, Any], at: datetime) -> None:
    """What was announced of a node that is still there stands for some minutes."""
    noticed = {node["node_id"]: node["interruption_notice_at"] for node in before["nodes"]}
    for node in now["nodes"]:
        old = noticed.get(node["node_id"])
        if old and not node["interruption_notice_at"] and at - datetime.fromisoformat(old) < NOTICE_STANDS:
            node["interruption_notice_at"] = old
