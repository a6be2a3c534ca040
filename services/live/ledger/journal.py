"""The way from the API to the ledger: a log in the store, written by whoever is told, read by the live loop alone."""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from engines.contract import Cluster
from services.live.ledger.eventbridge import ExperimentTurn, Warned
from services.store.protocol import Lease, Store

LOG = "ledger"
KIND = "ledger"
CURSOR = "cursor"
MOST_AT_ONCE = 500
# Entries that stay behind the cursor: whoever trims does not know what is being appended meanwhile.
KEPT_READ = 1000

Nodes = dict[str, str]  # instance id → pool_id


@dataclass(frozen=True, slots=True)
class Holding:
    """From `at` on a cluster's spot nodes are exactly these; `confirmed` is when it was put before that."""

    cluster_id: str
    at: datetime
    nodes: Nodes
    confirmed: datetime | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """A stretch that was told afterwards: a node held its pool in [start, end)."""

    cluster_id: str
    node_id: str
    pool_id: str
    start: datetime
    end: datetime


Told = Holding | Past | Warned | ExperimentTurn
_KINDS: dict[str, type] = {"holding": Holding, "past": Past, "warning": Warned, "experiment": ExperimentTurn}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class LedgerJournal:
    """Everything that happens outside and that outcomes depend on, in the order in which it was told."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def tell(self, told: Told) -> None:
        """Append one; from any process."""
        body = zlib.compress(json.dumps(asdict(told), default=_as_text).encode())
        self._store.append(LOG, _NAMES[type(told)], datetime.now(UTC), body)

    def tell_all(self, told: Iterable[Told]) -> None:
        """Append each."""
        for one in told:
            self.tell(one)

    def tell_cluster(
        self, cluster: Cluster | None, cluster_id: str, before: Mapping[str, Any] | None, at: datetime
    ) -> None:
        """What a cluster holds from `at` on (None: it is gone), where that is news; `before` is its last document."""
        nodes = spot_nodes(cluster) if cluster is not None else {}
        known = Cluster.model_validate(before["cluster"]) if before else None
        if known is None and not nodes:
            return
        if known is not None and spot_nodes(known) == nodes:
            return
        confirmed = datetime.fromisoformat(before["at"]) if before else None
        self.tell(Holding(cluster_id, at, nodes, confirmed))

    def unread(self) -> list[tuple[int, Told]]:
        """(seq, what was told) after the cursor, in order, at most `MOST_AT_ONCE`."""
        entries = self._store.read(LOG, after=self._cursor(), limit=MOST_AT_ONCE)
        return [(entry.seq, _restored(entry.kind, entry.body)) for entry in entries]

    def unread_ids(self) -> set[str]:
        """The ids of events that the loop has not kept yet."""
        return {told.event_id for _, told in self.unread() if isinstance(told, Warned | ExperimentTurn)}

    def read_until(self, seq: int, fence: Lease) -> None:
        """Move the cursor; what lies before it is forgotten. Raises `LeaseLost`."""
        self._store.put(KIND, CURSOR, {"seq": seq}, fence=fence)
        newest = self._store.span(LOG)[1]
        self._store.trim(LOG, max(0, newest - seq) + KEPT_READ)

    def _cursor(self) -> int:
        found = self._store.get(KIND, CURSOR)
        return int(found.value["seq"]) if found else 0


def spot_nodes(cluster: Cluster) -> Nodes:
    """The spot nodes of a cluster, by instance id."""
    return {
        instance_id(node.node_id): (
            f"{node.region}/{node.availability_zone}/{node.instance_type}/{cluster.product_description}"
        )
        for node in cluster.nodes
        if node.capacity_type == "spot"
    }


def instance_id(node_id: str) -> str:
    """`i-…` of a node's name, which may be a provider id (`aws:///us-east-1a/i-…`)."""
    return node_id.rsplit("/", 1)[-1]


def turns(told: Iterable[Told]) -> Sequence[ExperimentTurn]:
    """The experiments among them."""
    return [one for one in told if isinstance(one, ExperimentTurn)]


def _as_text(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()


_INSTANTS = ("at", "confirmed", "start", "end")


def _restored(kind: str, body: bytes) -> Told:
    fields = json.loads(zlib.decompress(body))
    for name in _INSTANTS:
        if fields.get(name):
            fields[name] = datetime.fromisoformat(fields[name])
    restored: Told = _KINDS[kind](**fields)
    return restored
