"""One job, run to its end or until told to stop: prices, then facts and coverage, then predictions."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from gapfill.backtest import Backtest
from gapfill.errors import JobFinished, MarketError
from gapfill.history import History
from gapfill.jobs import Job, JobBook, JobError, Phase, Shard, Status
from gapfill.limits import FillLimits
from gapfill.observing import FillObserver
from gapfill.prices import PriceSource
from gapfill.pulled import PulledBook
from gapfill.pulling import Puller
from gapfill.scope import Scope
from gapfill.survey import survey

_log = structlog.get_logger(__name__)

# What each phase is worth in percent when all of it is done; pulling is most of the work.
_WORTH: dict[Phase, float] = {"pulling": 80, "facts": 5, "predicting": 15}


class Running:
    """A job while it runs. Everything it learns is written to the book before it goes on."""

    def __init__(
        self,
        job: Job,
        *,
        book: JobBook,
        pulled: PulledBook,
        source: PriceSource,
        history: History,
        backtest: Backtest,
        limits: FillLimits,
        clock: Callable[[], datetime],
        observer: FillObserver,
        stop: threading.Event,
    ) -> None:
        self.job = job
        self._book = book
        self._pulled = pulled
        self._source = source
        self._history = history
        self._backtest = backtest
        self._limits = limits
        self._clock = clock
        self._observer = observer
        self._stop = stop
        self._lock = threading.RLock()
        self._cancelled = threading.Event()
        self._shards: list[Shard] = []
        self._done: dict[Phase, float] = {}
        self._began, self._began_at_percent = time.monotonic(), job.percent_complete

    def run(self) -> None:
        """Run what is left of the job. Raises what is nobody's fault in the market, a stale writer above all."""
        self._shards = self._book.shards(self.job.task_id)
        self.job.started_at = self.job.started_at or self._clock()
        self.job.count(self._shards)
        work: dict[Phase, Callable[[], None]] = {
            "pulling": self._pull,
            "facts": self._learn_facts,
            "predicting": self._predict,
        }
        for phase, step in work.items():
            if self.halted():
                return
            self._enter(phase)
            step()
            self._leave(phase)
        if not self.halted():
            self._end()

    def cancel(self, reason: str) -> Job:
        """End the job as failed; what was pulled stays. Raises `JobFinished` when it has just ended."""
        with self._lock:
            if self.job.status != "in_progress":
                raise JobFinished(self.job.task_id, self.job.status)
            self._cancelled.set()
            self._close("failed", reason)
            return self.job

    def fail(self, reason: str) -> None:
        """End the job as failed, unless it has ended."""
        with self._lock:
            if not self._cancelled.is_set():
                self._close("failed", reason)

    def halted(self) -> bool:
        """Whether the worker stops or the job was cancelled."""
        return self._stop.is_set() or self._cancelled.is_set()

    # Phases

    def _pull(self) -> None:
        puller = Puller(self._source, self._history, self._limits, self._clock, self.halted, self._shard_ended)
        puller.run(self._shards)

    def _learn_facts(self) -> None:
        failed = {shard.region for shard in self._shards if shard.state == "failed"}
        answered = {shard.region for shard in self._shards if shard.state == "done"}
        for region in self.job.regions:
            if self.halted():
                return
            if region in failed - answered:
                continue
            try:
                self._learn_region(region)
            except MarketError as error:
                with self._lock:
                    self.job.note(JobError(region=region, shard=0, kind=type(error).__name__, detail=error.detail))
        scope = Scope(self.job.regions, self.job.instance_types, self.job.product_descriptions)
        kept_from = self.job.history_start if self.job.unavailable else None
        found = survey(self._history, scope, self.job.gap_start, self.job.end, kept_from)
        with self._lock:
            self.job.coverage = found

    def _learn_region(self, region: str) -> None:
        types, products = self.job.instance_types, self.job.product_descriptions
        self._history.append_instance_types(self._source.instance_types(region, types))
        self._history.append_on_demand(self._source.on_demand(region, types, products))

    def _predict(self) -> None:
        scope = Scope(self.job.regions, self.job.instance_types, self.job.product_descriptions)
        self._backtest.run(scope, self.job.end, self.halted, self._chunk_predicted)

    # Progress

    def _enter(self, phase: Phase) -> None:
        with self._lock:
            self.job.phase = phase
            self._save()

    def _leave(self, phase: Phase) -> None:
        """What went without a part that failed, or without anything to do, is done as far as it could be."""
        with self._lock:
            if not self.halted():
                self._advance(phase, 1.0 if phase != "pulling" or not self._shards else self._pulled_share())

    def _shard_ended(self, shard: Shard, seconds: float) -> None:
        """The shard's rows are committed: note what was pulled, then write its checkpoint, then the job's sums."""
        if shard.state == "done":
            self._pulled.add(shard.region, shard.instance_types, shard.products, shard.start, shard.end)
        self._book.save_shard(self.job.task_id, shard)
        self._observer.shard_ended(shard, seconds)
        with self._lock:
            self.job.count(self._shards)
            if shard.state == "failed":
                kind, _, detail = shard.error.partition(": ")
                self.job.note(JobError(region=shard.region, shard=shard.number, kind=kind, detail=detail))
            ended = self.job.shards_done + self.job.shards_failed
            self._advance("pulling", self._pulled_share())
        if ended % self._limits.compact_every_shards == 0:
            self._history.compact()

    def _chunk_predicted(self, done: int, total: int, made: dict[str, int]) -> None:
        for model_id, count in made.items():
            self._observer.predictions_made(model_id, count)
        with self._lock:
            self.job.predictions_made += sum(made.values())
            self._advance("predicting", done / total)

    def _pulled_share(self) -> float:
        return self.job.shards_done / max(self.job.shards_total, 1)

    def _advance(self, phase: Phase, share: float) -> None:
        """Percent from work done; the seconds left from the time that the work of this run has taken so far."""
        self._done[phase] = share
        percent = sum(_WORTH[phase] * share for phase, share in self._done.items())
        self.job.percent_complete = max(self.job.percent_complete, round(percent, 2))
        gained = self.job.percent_complete - self._began_at_percent
        if gained > 0:
            left = 100 - self.job.percent_complete
            self.job.eta_seconds = round((time.monotonic() - self._began) / gained * left, 1)
        self._save()

    # Endings

    def _end(self) -> None:
        failed: Sequence[Shard] = [shard for shard in self._shards if shard.state == "failed"]
        with self._lock:
            if self._cancelled.is_set():
                return
            if failed:
                regions = ", ".join(sorted({shard.region for shard in failed}))
                self._close("failed", f"{len(failed)} of {len(self._shards)} shards failed, in {regions}")
            else:
                self.job.percent_complete = 100.0
                self._close("completed", "")

    def _close(self, status: Status, reason: str) -> None:
        self.job.status = status
        self.job.reason = reason
        self.job.phase = "ended"
        self.job.eta_seconds = None
        self.job.finished_at = self._clock()
        self._book.save(self.job)
        self._observer.job_ended(self.job)
        _log.info("fill_ended", task_id=self.job.task_id, status=status, reason=reason, records=self.job.records_filled)

    def _save(self) -> None:
        if not self._cancelled.is_set():
            self._book.save(self.job)
