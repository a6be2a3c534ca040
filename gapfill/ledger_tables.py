"""The tables of the ledger: served predictions, outcomes, interruptions, and who held spot nodes where."""

from collections.abc import Callable, Sequence
from datetime import datetime

import polars as pl

from gapfill.frames import EXPOSURES, INSTANT, INTERRUPTIONS, OUTCOMES, SERVED
from gapfill.scope import PLACES, Scope, with_places
from gapfill.tables import Table

_INGESTED = {"ingested_at": INSTANT}
SERVED_ROWS = pl.Schema({**SERVED, **PLACES, **_INGESTED})
OUTCOME_ROWS = pl.Schema({**OUTCOMES, **PLACES, **_INGESTED})
INTERRUPTION_ROWS = pl.Schema({**INTERRUPTIONS, **_INGESTED})
EXPOSURE_ROWS = pl.Schema({**EXPOSURES, **_INGESTED})
OUTCOME_KEY = ["task", "pool_id", "as_of", "target_at"]
_ANY = Scope()

# (name, schema, column whose month partitions it) → the table
MakeTable = Callable[[str, pl.Schema, str], Table]


class LedgerTables:
    """Append-only; every row has `ingested_at`. The live loop is the one writer, so checks need no lock."""

    def __init__(self, table: MakeTable, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._served = table("served", SERVED_ROWS, "as_of")
        self._outcomes = table("outcomes", OUTCOME_ROWS, "target_at")
        self._interruptions = table("interruptions", INTERRUPTION_ROWS, "")
        self._exposures = table("exposures", EXPOSURE_ROWS, "")

    # Served predictions

    def append_served(self, rows: pl.DataFrame) -> int:
        """Store rows (`frames.SERVED`) unless their batch is there already; how many were stored."""
        if rows.is_empty():
            return 0
        known = self.batches(rows["batch"].unique().to_list())
        fresh = rows.filter(~pl.col("batch").is_in(known))
        self._served.append(self._stamp(with_places(fresh)))
        return fresh.height

    def append_made(self, rows: pl.DataFrame) -> int:
        """Store rows (`frames.SERVED`) that did not come by the spool, unless they are there; how many were stored."""
        if rows.is_empty():
            return 0
        key = ["model_id", "pool_id", "as_of", "origin", "experiment", "arm"]
        unique = rows.unique(key, keep="first", maintain_order=True)
        there = self._served.scan().filter(pl.col("as_of").is_between(unique["as_of"].min(), unique["as_of"].max()))
        fresh = unique.join(there.select(key).collect(), on=key, how="anti")
        self._served.append(self._stamp(with_places(fresh)))
        return fresh.height

    def batches(self, names: Sequence[str]) -> list[str]:
        """Those of the batches that are stored."""
        wanted = [name for name in names if name]
        if not wanted:
            return []
        rows = self._served.scan().filter(pl.col("batch").is_in(wanted)).select("batch").unique().collect()
        return [str(name) for name in rows["batch"]]

    def served(self, scope: Scope = _ANY) -> pl.LazyFrame:
        """Every served prediction of the scope (`frames.SERVED`), unordered, not read yet."""
        return self._served.scan().filter(scope.predicate()).select(*SERVED)

    # Outcomes

    def append_outcomes(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Store the outcomes (`frames.OUTCOMES`) that say something else than the last word; those that were stored.

        A later row for the same prediction corrects an earlier one.
        """
        if rows.is_empty():
            return rows
        unique = rows.unique(OUTCOME_KEY, keep="last", maintain_order=True)
        low, high = unique["target_at"].min(), unique["target_at"].max()
        assert isinstance(low, datetime)
        assert isinstance(high, datetime)
        known = self.outcomes(start=low, until=high).select(*OUTCOMES)
        fresh = unique.join(known, on=list(OUTCOMES), how="anti", nulls_equal=True)
        self._outcomes.append(self._stamp(with_places(fresh)))
        return fresh

    def outcomes(
        self,
        scope: Scope = _ANY,
        start: datetime | None = None,
        until: datetime | None = None,
        *,
        known_at: datetime | None = None,
    ) -> pl.DataFrame:
        """The last word on each prediction with `target_at` in [start, until] (`frames.OUTCOMES`).

        `known_at` hides what was ingested later.
        """
        rows = self._outcomes.scan().filter(scope.predicate())
        if start is not None:
            rows = rows.filter(pl.col("target_at") >= start)
        if until is not None:
            rows = rows.filter(pl.col("target_at") <= until)
        if known_at is not None:
            rows = rows.filter(pl.col("ingested_at") <= known_at)
        last = rows.group_by(OUTCOME_KEY).agg(pl.exclude(OUTCOME_KEY).sort_by("ingested_at").last())
        return last.select(*OUTCOMES).sort(OUTCOME_KEY).collect()

    # Interruptions and exposures

    def append_interruptions(self, rows: pl.DataFrame) -> int:
        """Store the warnings (`frames.INTERRUPTIONS`) whose event_id is new; how many were."""
        if rows.is_empty():
            return 0
        known = self._interruptions.scan().filter(pl.col("event_id").is_in(rows["event_id"].to_list()))
        fresh = rows.unique("event_id", keep="first", maintain_order=True).join(
            known.select("event_id").collect(), on="event_id", how="anti"
        )
        self._interruptions.append(self._stamp(fresh))
        return fresh.height

    def interruptions(self, start: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """The warnings with `at` in [start, until] (`frames.INTERRUPTIONS`), oldest first."""
        rows = self._interruptions.scan()
        if start is not None:
            rows = rows.filter(pl.col("at") >= start)
        if until is not None:
            rows = rows.filter(pl.col("at") <= until)
        return rows.select(*INTERRUPTIONS).sort("at", "event_id").collect()

    def append_exposures(self, rows: pl.DataFrame) -> int:
        """Store changes (`frames.EXPOSURES`) that are not there yet; how many were."""
        if rows.is_empty():
            return 0
        near = pl.col("at").is_between(rows["at"].min(), rows["at"].max())
        known = self._exposures.scan().filter(near).select(*EXPOSURES).collect()
        fresh = rows.unique(maintain_order=True).join(known, on=list(EXPOSURES), how="anti")
        self._exposures.append(self._stamp(fresh))
        return fresh.height

    def exposures(self) -> pl.DataFrame:
        """Every change (`frames.EXPOSURES`), oldest first."""
        return self._exposures.scan().select(*EXPOSURES).sort("at", "cluster_id", "node_id").collect()

    # Care

    def compact(self) -> int:
        """Merge small files; how many were merged."""
        tables = (self._served, self._outcomes, self._interruptions, self._exposures)
        return sum(table.compact() for table in tables)

    def version(self) -> tuple[int, int, int]:
        """A cheap sign of change: the commit numbers of outcomes, interruptions and exposures."""
        return self._outcomes.version, self._interruptions.version, self._exposures.version

    def _stamp(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.lit(self._clock()).cast(INSTANT).alias("ingested_at"))
