"""The gap filler: analyse, fill, follow, cancel; the only writer of price history."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import structlog

from gapfill.analysing import analyse
from gapfill.backtest import Backtest, Compute
from gapfill.errors import JobFinished, MarketError, StaleWriter
from gapfill.features import compute as compute_features
from gapfill.history import Appended, History, no_fence
from gapfill.jobs import CANCELLED, Documents, Job, JobBook, Mode, Shard
from gapfill.limits import FillLimits
from gapfill.observing import FillObserver, NoObserver
from gapfill.plan import Analysis, ShardPlan
from gapfill.predicting import GapModel, GapPredictor
from gapfill.prices import PriceSource
from gapfill.pulled import PulledBook
from gapfill.requests import FillRequest, Target, missing, offered, resolve, whole
from gapfill.running import Running

_log = structlog.get_logger(__name__)
_DEFAULTS = FillRequest()
_COMPACT_EVERY_S = 3600.0
_NAP_S = 0.2
_ASK_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Watched:
    """Pools whose current price was asked for without a break over [start, end): nothing of it need be pulled."""

    region: str
    instance_types: tuple[str, ...]
    products: tuple[str, ...]
    start: datetime
    end: datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


class GapFiller:
    """Safe to call from several threads; `run` is one thread's work. There is one per data directory at a time."""

    def __init__(
        self,
        source: PriceSource,
        history: History,
        documents: Documents,
        predictor: GapPredictor,
        *,
        limits: FillLimits,
        clock: Callable[[], datetime] = _utc_now,
        observer: FillObserver | None = None,
        compute: Compute = compute_features,
        fence: Callable[[], None] = no_fence,
    ) -> None:
        """`documents` is the store; `fence` guards it as the history's own guards the tables."""
        self._source = source
        self._history = history
        self._predictor = predictor
        self._limits = limits
        self._clock = clock
        self._observer = observer or NoObserver()
        self._book = JobBook(documents, fence)
        self._pulled = PulledBook(documents, fence)
        self._backtest = Backtest(history, predictor, compute, limits.pools_per_chunk)
        self._running: Running | None = None
        self._lock = threading.RLock()
        self._woken = threading.Event()
        self._compacted = time.monotonic()
        self._ensured: frozenset[str] | None = None  # the models whose gap was ordered last

    # Asking

    def analyze(self, request: FillRequest = _DEFAULTS) -> Analysis:
        """What a fill would do; nothing is pulled. Raises as `resolve` does, and `MarketError`s."""
        models = self._predictor.models()
        target = resolve(request, models, self._limits, self._source, self._clock())
        return analyse(target, models, self._history, self._source, self._limits, self._book)

    def submit(self, request: FillRequest = _DEFAULTS, requested_by: str = "") -> Job:
        """Order a fill of the whole gap; it starts soon. A running one that covers it is returned instead.

        Raises as `resolve` does, and `MarketError`s when the market cannot be asked for its regions and types.
        """
        target = resolve(request, self._predictor.models(), self._limits, self._source, self._clock())
        with self._lock:
            for job in self._book.unfinished():
                if job.mode == "fill" and target.covered_by(job):
                    return job
            return self._order(target, "fill", whole(target, self._limits), requested_by)

    def ensure_filled(self, requested_by: str = "server") -> Job | None:
        """Order what is missing for the active models over the default regions and types; None without a model.

        What has been pulled before is left out, so after a restart only the time since is pulled, and so are defaults
        that the market does not have. A running job that covers the gap and has yet to predict is returned instead.
        """
        models = _named(self._predictor.models())
        if (target := self._default_target()) is None:
            self._ensured = models
            return None
        with self._lock:
            pulling = (job for job in self._book.unfinished() if job.mode != "predict" and job.phase == "pulling")
            job = next((job for job in pulling if target.covered_by(job)), None)
            job = job or self._order(target, "missing", missing(target, self._limits, self._pulled), requested_by)
            self._ensured = models
            return job

    def predict_gaps(self, requested_by: str = "server") -> Job | None:
        """Order the active models' missing gap predictions from the history as it stands; None without a model."""
        target = self._default_target()
        if target is None:
            return None
        with self._lock:
            return self._order(target, "predict", [], requested_by)

    def _default_target(self) -> Target | None:
        models = self._predictor.models()
        found = offered(self._limits, self._source) if models else None
        if found is None:
            return None
        request, left_out = found
        if left_out:
            _log.warning("defaults_not_offered", market_id=self._source.market_id, names=left_out)
        return resolve(request, models, self._limits, self._source, self._clock())

    def retry(self, task_id: str) -> Job:
        """Take up the failed shards of a failed job again. Raises `JobNotFound`, `JobFinished` when nothing is left."""
        with self._lock:
            job = self._book.get(task_id)
            shards = self._book.shards(task_id)
            open_shards = [shard for shard in shards if shard.state != "done"]
            if job.status != "failed" or not open_shards:
                raise JobFinished(task_id, job.status)
            for shard in open_shards:
                shard.state, shard.error, shard.attempts = "pending", "", 0
                self._book.save_shard(task_id, shard)
            job.count(shards)
            job.status, job.reason, job.phase, job.errors, job.finished_at = "in_progress", "", "pulling", [], None
            job.percent_complete = round(80.0 * job.shards_done / job.shards_total, 2)
            self._book.save(job)
        self._woken.set()
        return job

    def cancel(self, task_id: str) -> Job:
        """End a job: failed, reason "cancelled". Raises `JobNotFound`, `JobFinished`."""
        with self._lock:
            job = self._book.get(task_id)
            if job.status != "in_progress":
                raise JobFinished(task_id, job.status)
            if self._running is not None and self._running.job.task_id == task_id:
                return self._running.cancel(CANCELLED)
            job.status, job.reason, job.phase, job.eta_seconds = "failed", CANCELLED, "ended", None
            job.finished_at = self._clock()
            self._book.save(job)
        self._observer.job_ended(job)
        return job

    def status(self, task_id: str) -> Job:
        """The job as last written; raises `JobNotFound`."""
        return self._book.get(task_id)

    def shards(self, task_id: str) -> list[Shard]:
        """The job's shards; raises `JobNotFound`."""
        self._book.get(task_id)
        return self._book.shards(task_id)

    def history(self, limit: int = 100) -> list[Job]:
        """The last jobs, newest first."""
        return self._book.newest(limit)

    # Taking in

    def ingest(self, points: pl.DataFrame, watched: Sequence[Watched] = ()) -> Appended:
        """Store live prices (`frames.PRICES`), and note what was watched while they came in."""
        result = self._history.append_prices(points)
        for one in watched:
            self._pulled.add(one.region, one.instance_types, one.products, one.start, one.end)
        self._observer.prices_ingested(result.stored, result.present, result.refused)
        return result

    def import_prices(self, points: pl.DataFrame, label: str) -> Appended:
        """Store the points of a dump (`frames.PRICES`); `label` says in the log whose it was."""
        result = self.ingest(points)
        _log.info("prices_imported", label=label, stored=result.stored, present=result.present, refused=result.refused)
        return result

    # Working

    def run(self, stop: threading.Event, *, ensure: bool = False) -> None:
        """Run jobs, oldest first, until `stop`; a job that is then unfinished goes on at the next start.

        With `ensure` it begins with `ensure_filled`, and does so again when other models have become active, as often
        as it takes the market to answer. Raises `StaleWriter` when another holder has taken over.
        """
        ensure_at = time.monotonic() if ensure else math.inf
        while not stop.is_set():
            self._woken.clear()
            if time.monotonic() >= ensure_at:
                self._ensure_for_new_models()
                ensure_at = time.monotonic() + _ASK_AGAIN_S
            ran = self.run_next(stop)
            if time.monotonic() - self._compacted > _COMPACT_EVERY_S:
                self._compacted = time.monotonic()
                self._history.compact()
            if not ran:
                self._rest(stop)

    def run_next(self, stop: threading.Event) -> bool:
        """Run the oldest unfinished job, if there is one."""
        with self._lock:
            waiting = self._book.unfinished()
            if not waiting:
                return False
            running = self._running = self._prepare(waiting[0], stop)
        try:
            running.run()
        except StaleWriter:
            raise
        except Exception as error:  # noqa: BLE001 - a job that always fails must end, not come back at each start
            _log.exception("fill_broke", task_id=running.job.task_id)
            running.fail(f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._running = None
        return True

    def _rest(self, stop: threading.Event) -> None:
        """Until there is an order, `stop`, or it is time to look into the store again."""
        until = time.monotonic() + _ASK_AGAIN_S
        while not stop.is_set() and time.monotonic() < until and not self._woken.wait(_NAP_S):
            pass

    def _ensure_for_new_models(self) -> None:
        if _named(self._predictor.models()) == self._ensured:
            return
        try:
            self.ensure_filled()
        except MarketError as error:
            _log.warning("gap_not_ensured", region=error.region, detail=error.detail)

    def _prepare(self, job: Job, stop: threading.Event) -> Running:
        return Running(
            job,
            book=self._book,
            pulled=self._pulled,
            source=self._source,
            history=self._history,
            backtest=self._backtest,
            limits=self._limits,
            clock=self._clock,
            observer=self._observer,
            stop=stop,
        )

    def _order(self, target: Target, mode: Mode, plans: Sequence[ShardPlan], requested_by: str) -> Job:
        job = Job(
            task_id=self._book.next_task_id(),
            mode=mode,
            requested_by=requested_by,
            created_at=self._clock(),
            regions=target.regions,
            instance_types=target.instance_types,
            product_descriptions=target.products,
            trained_until=target.trained_until,
            gap_start=target.gap_start,
            history_start=target.history_start,
            end=target.end,
            unavailable=target.unavailable,
            shards_total=len(plans),
        )
        shards = [Shard(number=n, **plan.model_dump()) for n, plan in enumerate(plans, start=1)]
        self._book.plan(job.task_id, shards)
        self._book.save(job)
        _log.info("fill_ordered", task_id=job.task_id, mode=mode, shards=len(shards), requested_by=requested_by)
        self._woken.set()
        return job


def _named(models: Sequence[GapModel]) -> frozenset[str]:
    return frozenset(model.model_id for model in models)
