"""Deciding for clusters: the question put together from the board, and the decisions that are worth telling."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from engines.canonical import canonical
from engines.contract import Cluster, ClusterDecision, DecisionInput, DecisionOutput
from gapfill.pools import Pool
from services.live.board import FeatureBlock
from services.live.clusters import MOST_CLUSTERS
from services.live.experiments.arms import Arms
from services.live.facts import Places, pool_facts, score_block
from services.live.named_models import NamedModels
from services.live.selection import follow_selection
from services.models.slots import Slots
from services.store.protocol import Lease, Store

__all__ = ["DecisionDiary", "follow_selection", "question"]

LOG = "decisions"
LATEST = "decision"


def question(
    block: FeatureBlock,
    slots: Slots,
    clusters: Sequence[Cluster],
    named: NamedModels | None = None,
    models: Sequence[str] = (),
    arms: Arms | None = None,
) -> DecisionInput:
    """What an engine is asked for these clusters: the facts of every pool that could matter to one of them.

    `models` are those whose predictions it wants to see, which `named` keeps loaded. With `arms` each pool's
    predictions are those of the arm that answers for it.
    """
    places = _places(block, clusters)
    scores = score_block(block, slots, places, arms) if len(places) else {}
    active = {task: score.values for task, score in scores.items()}
    wanted = named.score(block, places, models, active) if named is not None and len(places) else {}
    return DecisionInput(
        as_of=block.as_of,
        market_id=block.market_id,
        clusters=tuple(clusters),
        pools=pool_facts(block, scores, places, wanted),
    )


def _places(block: FeatureBlock, clusters: Sequence[Cluster]) -> Places:
    """Pools of a cluster's product, in its regions, or anywhere for a cluster that is yet to be launched."""
    regions: set[str] | None = set()
    for cluster in clusters:
        allowed = cluster.constraints.allowed_regions
        anywhere = not cluster.nodes or cluster.constraints.cross_region_allowed
        if regions is None or (anywhere and allowed is None):
            regions = None
            continue
        regions.update(node.region for node in cluster.nodes)
        regions.update(allowed or ())
    products = {cluster.product_description for cluster in clusters}
    chosen = [
        index
        for index, pool in enumerate(map(Pool.parse, block.pool_ids))
        if pool.product in products and (regions is None or pool.region in regions)
    ]
    return np.array(chosen, dtype=np.intp)


class DecisionDiary:
    """Keeps the latest decision per cluster and the log of those that changed, with the input that led to each."""

    def __init__(self, store: Store, keep: int, lease: Lease | None = None) -> None:
        """Whoever writes gives its lease: every write is refused (`LeaseLost`) once another one has taken over."""
        self._store = store
        self._keep = keep
        self._lease = lease

    def news(self, given: DecisionInput, output: DecisionOutput) -> list[ClusterDecision]:
        """Write what is new and return it: another content than the last one told, or that one has expired."""
        told = []
        for decision in output.decisions:
            content = _content(decision)
            last = self._store.get(LATEST, decision.cluster_id)
            if last and last.value.get("content") == content and _valid_until(last.value) > given.as_of:
                continue
            decision_id = _id_of(decision.cluster_id, content, last.value.get("decision_id", "") if last else "")
            row = {"decision_id": decision_id, **self._row(decision, output, given.as_of)}
            kept = zlib.compress(json.dumps({**row, "input": json.loads(canonical(given))}).encode())
            # The log first: what stands as the latest is always in the past as well, and on its way to whoever is told.
            entry = self._store.append(LOG, decision.cluster_id, given.as_of, kept, fence=self._lease)
            self._store.put(LATEST, decision.cluster_id, {**row, "content": content}, fence=self._lease)
            if entry.seq % 100 == 0:
                self._store.trim(LOG, self._keep)
            told.append(decision)
        return told

    def latest(self, cluster_id: str | None = None) -> list[dict[str, Any]]:
        """The latest decision of one cluster, or of each."""
        if cluster_id is None:
            found = self._store.find(LATEST, limit=MOST_CLUSTERS)
        else:
            document = self._store.get(LATEST, cluster_id)
            found = [document] if document else []
        rows = [document.value for document in found if "content" in document.value]
        return [{name: value for name, value in row.items() if name != "content"} for row in rows]

    def forget(self, cluster_id: str) -> None:
        """Nothing stands for a cluster that is gone; what was told of it stays in the past."""
        last = self._store.get(LATEST, cluster_id)
        if last is not None:
            # What is told of it when it comes back must not have the id of what was told before.
            self._store.put(LATEST, cluster_id, {"decision_id": last.value.get("decision_id", "")})

    def past(self, cluster_id: str | None, limit: int, before: int | None) -> list[dict[str, Any]]:
        """Decisions as told, newest first; `before` is the seq to go on below."""
        oldest, newest = self._store.span(LOG)
        rows: list[dict[str, Any]] = []
        high = min(newest, (before or newest + 1) - 1)
        while len(rows) < limit and high >= oldest:
            low = max(oldest - 1, high - 200)
            kinds = (cluster_id,) if cluster_id else ()
            entries = [e for e in self._store.read(LOG, after=low, kinds=kinds, limit=200) if e.seq <= high]
            for entry in reversed(entries):
                row = json.loads(zlib.decompress(entry.body))
                del row["input"]
                rows.append({"seq": entry.seq, **row})
            high = low
        return rows[:limit]

    def _row(self, decision: ClusterDecision, output: DecisionOutput, as_of: datetime) -> dict[str, Any]:
        return {
            "as_of": as_of.isoformat(),
            "made_by": output.made_by.model_dump(mode="json") if output.made_by else None,
            "decision": decision.model_dump(mode="json"),
        }


def _content(decision: ClusterDecision) -> list[list[Any]]:
    """What an orchestrator would do, and what stands in the way, without the figures that move with every tick."""
    actions = [
        [
            action.type,
            sorted(action.node_ids),
            action.target.model_dump(mode="json") if action.target else None,
            sorted(action.receiving_node_ids),
            dict(sorted(action.pods_per_node.items())),
        ]
        for action in decision.recommendations
    ]
    return [*actions, *(["conflict", sorted(conflict.constraints)] for conflict in decision.conflicts)]


def _id_of(cluster_id: str, content: list[list[Any]], before: str) -> str:
    """The idempotency key: one that is written again after a crash has the same, one that comes back later has not."""
    return hashlib.sha256(json.dumps([cluster_id, before, content]).encode()).hexdigest()[:32]


def _valid_until(row: dict[str, Any]) -> datetime:
    times = [datetime.fromisoformat(action["valid_until"]) for action in row["decision"]["recommendations"]]
    return min(times, default=datetime.max.replace(tzinfo=UTC))
