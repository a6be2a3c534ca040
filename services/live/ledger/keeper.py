"""The ledger's keeper: a thread of the live loop's process that takes up answers and warnings and settles outcomes."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import structlog

from gapfill.errors import StaleWriter
from gapfill.history import History
from services.errors import LeaseLost
from services.live.clusters import Clusters
from services.live.ledger.eventbridge import ExperimentTurn, Warned
from services.live.ledger.exposing import Exposing, ExposureRow, changed
from services.live.ledger.intake import SpoolIntake
from services.live.ledger.journal import KIND, Holding, LedgerJournal, Past, Told
from services.live.ledger.scored import LONGEST_HORIZON, looked_up
from services.live.ledger.settling import KEY
from services.store.protocol import Lease, Store
from services.telemetry import Metrics

# Prices reach the history within a minute, warnings within seconds; what comes later corrects.
SETTLE_AFTER = timedelta(minutes=5)
# A settled stretch is looked at once more this far back, each hour and at each start.
LOOK_BACK = timedelta(hours=48)
LOOK_BACK_EVERY_S = 3600.0
FIRST_LOOK = timedelta(days=8)
STEP = timedelta(hours=1)
MOST_STEPS = 48
# Settling may take this share of the thread's time; the more there is, the more seldom it looks.
SHARE = 0.05
SETTLED = "settled"
EXPERIMENTS = "fis_experiments"
TURNS_KEPT = 200
_log = structlog.get_logger(__name__)


class LedgerKeeper:
    """One thread's. Whatever it is killed between, the next one ends: nothing is stored twice, nothing is left out."""

    def __init__(
        self,
        history: History,
        store: Store,
        lease: Lease,
        intake: SpoolIntake,
        metrics: Metrics,
        *,
        only_instances: bool,
        measure: Callable[[datetime], None] = lambda _now: None,
        settle_after: timedelta = SETTLE_AFTER,
    ) -> None:
        """`measure` is called after each settling; it sees to its own pace."""
        self._history = history
        self._store = store
        self._lease = lease
        self._intake = intake
        self._metrics = metrics
        self._journal = LedgerJournal(store)
        self._clusters = Clusters(store)
        self._exposing = Exposing(history.ledger, only_instances=only_instances)
        self._measure = measure
        self._settle_after = settle_after
        self._again_from: datetime | None = None
        self._looked_back_at: float | None = None
        self._settle_at = 0.0

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Turn until `stop`, and once more then; `LeaseLost` and `StaleWriter` end it, anything else is tried again."""
        while not stop.wait(every_s):
            self._turn_safely()
        self._turn_safely()

    def turn(self, now: datetime) -> None:
        """Take up what has come, and settle what is due, where it is time to."""
        taken = self._intake.take()
        self._metrics.spool_kills.inc(taken.killed)
        self._look_again(taken.first_target)
        self.read_journal()
        if time.monotonic() >= self._settle_at:
            began = time.monotonic()
            self.settle(now)
            self._measure(now)
            ended = time.monotonic()
            self._settle_at = ended + (ended - began) / SHARE

    def read_journal(self) -> None:
        """Holdings become exposure, warnings interruptions; each once, as both tables know what they have."""
        while unread := self._journal.unread():
            try:
                self._keep([told for _, told in unread])
            except BaseException:
                self._exposing.forget()
                raise
            self._journal.read_until(unread[-1][0], self._lease)

    def _keep(self, unread: list[Told]) -> None:
        turns = self._turns([told for told in unread if isinstance(told, ExperimentTurn)])
        rows: list[ExposureRow] = []
        for told in unread:
            if isinstance(told, Holding | Past):
                rows += self._exposing.changes(told)
        self._history.ledger.append_exposures(changed(rows))
        warned = [told for told in unread if isinstance(told, Warned)]
        if warned:
            self._history.ledger.append_interruptions(self._exposing.warnings(warned, turns))
        for at in [row[3] for row in rows] + [one.at for one in warned]:
            self._look_again(at)

    def settle(self, now: datetime) -> None:
        """The outcomes of what has become due, and again of what news has come for; some hours at a time."""
        until = now - self._settle_after
        if self._looked_back_at is None or time.monotonic() - self._looked_back_at > LOOK_BACK_EVERY_S:
            self._looked_back_at = time.monotonic()
            self._look_again(until - LOOK_BACK)
        settled = self._settled_until() or until - FIRST_LOOK
        start = self._first_due(min(settled, self._again_from or settled), until)
        for _ in range(MOST_STEPS):
            if start >= until:
                break
            end = min(start + STEP, until)
            self._settle_stretch(start, end, now)
            start = end
        if start > settled:
            self._store.put(KIND, SETTLED, {"until": start.isoformat()}, fence=self._lease)
        self._again_from = start if start < until else None

    def _first_due(self, start: datetime, until: datetime) -> datetime:
        """Where in (start, until] the first prediction becomes due, or just before; `until` where none does."""
        first = self._due(start, until).select(pl.col("target_at").min()).collect().item()
        return first - timedelta(microseconds=1) if isinstance(first, datetime) else max(start, until)

    def _settle_stretch(self, start: datetime, end: datetime, now: datetime) -> None:
        keys = self._due(start, end).select(KEY).unique().collect()
        if keys.is_empty():
            return
        found = looked_up(self._history, keys, now, self._clusters.confirmed())
        stored = self._history.ledger.append_outcomes(found)
        for task, status, count in stored.group_by("task", "status").len().iter_rows():
            self._metrics.outcomes.labels(task=task, status=status).inc(count)

    def _due(self, start: datetime, end: datetime) -> pl.LazyFrame:
        """Live and served predictions with `target_at` in (start, end]."""
        return self._history.scan_predictions().filter(
            pl.col("as_of") >= start - LONGEST_HORIZON,
            pl.col("target_at") > start,
            pl.col("target_at") <= end,
            pl.col("origin") != "gap",
        )

    def _look_again(self, at: datetime | None) -> None:
        """Outcomes from `at` on may be others than was settled."""
        if at is not None:
            self._again_from = min(at, self._again_from or at)

    def _settled_until(self) -> datetime | None:
        found = self._store.get(KIND, SETTLED)
        return datetime.fromisoformat(found.value["until"]) if found else None

    def _turns(self, news: list[ExperimentTurn]) -> list[ExperimentTurn]:
        """The last experiments of AWS FIS that were told of, these included."""
        found = self._store.get(KIND, EXPERIMENTS)
        rows = found.value["turns"] if found else []
        known = [ExperimentTurn(**{**row, "at": datetime.fromisoformat(row["at"])}) for row in rows]
        merged = {turn.event_id: turn for turn in (*known, *news)}
        turns = sorted(merged.values(), key=lambda turn: turn.at)[-TURNS_KEPT:]
        if news:
            told = [
                {"event_id": t.event_id, "at": t.at.isoformat(), "account": t.account, "region": t.region,
                 "experiment_id": t.experiment_id, "runs": t.runs}
                for t in turns
            ]  # fmt: skip
            self._store.put(KIND, EXPERIMENTS, {"turns": told}, fence=self._lease)
        return turns

    def _turn_safely(self) -> None:
        try:
            self.turn(datetime.now(UTC))
        except (LeaseLost, StaleWriter):
            raise
        except Exception:  # noqa: BLE001 - what was not kept now lies there for the next turn
            _log.exception("ledger_not_kept")
