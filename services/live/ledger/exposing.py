"""What the journal tells, as rows of the history: who holds which node, and which warnings came."""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from gapfill.frames import EXPOSURES, INTERRUPTIONS
from gapfill.ledger_tables import LedgerTables
from services.live.ledger.eventbridge import ExperimentTurn, Warned, is_under_test
from services.live.ledger.exposure import LONGEST_SILENCE
from services.live.ledger.journal import Holding, Nodes, Past

_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}")
ExposureRow = tuple[str, str, str, datetime, bool]


class Exposing:
    """Turns holdings into changes; it knows the state of each cluster, read from the history once."""

    def __init__(self, tables: LedgerTables, *, only_instances: bool) -> None:
        """With `only_instances` nodes whose id is no EC2 instance id are left out: no warning could name them."""
        self._tables = tables
        self._only_instances = only_instances
        self._held: dict[str, Nodes] | None = None

    def changes(self, told: Holding | Past) -> list[ExposureRow]:
        """Rows of `frames.EXPOSURES`."""
        if isinstance(told, Past):
            pair = ((told.start, True), (told.end, False))
            return [(told.cluster_id, told.node_id, told.pool_id, at, held) for at, held in pair]
        if self._held is None:
            self._held = self._state()
        before = self._held.get(told.cluster_id, {})
        nodes = {
            name: pool
            for name, pool in told.nodes.items()
            if not self._only_instances or _INSTANCE.fullmatch(name)
        }  # fmt: skip
        # One that is gone after a long silence may have gone at any time in it.
        left_at = min(told.at, told.confirmed + LONGEST_SILENCE) if told.confirmed else told.at
        left = [(told.cluster_id, n, p, left_at, False) for n, p in before.items() if nodes.get(n) != p]
        joined = [(told.cluster_id, n, p, told.at, True) for n, p in nodes.items() if before.get(n) != p]
        self._held[told.cluster_id] = nodes
        return [*left, *joined]

    def forget(self) -> None:
        """What was derived last was not stored: read the state anew."""
        self._held = None

    def _state(self) -> dict[str, Nodes]:
        rows = self._tables.exposures()
        last = rows.sort("at", "held").group_by("cluster_id", "node_id", maintain_order=True).last().filter("held")
        found: defaultdict[str, Nodes] = defaultdict(dict)
        for cluster_id, node_id, pool_id in last.select("cluster_id", "node_id", "pool_id").iter_rows():
            found[cluster_id][node_id] = pool_id
        return dict(found)

    def warnings(self, told: Sequence[Warned], turns: Sequence[ExperimentTurn]) -> pl.DataFrame:
        """Rows of `frames.INTERRUPTIONS`: an instance's pool is that of the node of its id, as the history has it."""
        names = [one.instance_id for one in told]
        known = self._tables.exposures().filter(pl.col("node_id").is_in(names), pl.col("held"))
        rows = [_row(one, known.filter(pl.col("node_id") == one.instance_id), turns) for one in told]
        return pl.DataFrame(rows, schema=INTERRUPTIONS, orient="row")


def _row(told: Warned, nodes: pl.DataFrame, turns: Sequence[ExperimentTurn]) -> tuple[object, ...]:
    """The node that stood when the warning came; one that was put only afterwards is better than none."""
    before = nodes.filter(pl.col("at") <= told.at)
    found = (before.tail(1) if before.height else nodes.head(1)).to_dicts()
    pool_id = found[0]["pool_id"] if found else told.pool_id
    cluster_id = found[0]["cluster_id"] if found else ""
    injected = told.injected or is_under_test(told, turns)
    who = (told.account, told.region, told.instance_id, told.action)
    return (told.event_id, told.at, *who, pool_id, cluster_id, injected)


def changed(rows: Sequence[ExposureRow]) -> pl.DataFrame:
    """`frames.EXPOSURES`."""
    return pl.DataFrame(list(rows), schema=EXPOSURES, orient="row")
