"""The two workers, the gap filler and the live loop: a lease, a thread, and an orderly end."""

import os
import threading
import time
from collections.abc import Callable, Sequence

import polars as pl
import structlog

from gapfill.filler import GapFiller, Watched
from gapfill.jobs import Job, Shard
from gapfill.limits import FillLimits
from services.audit import Audit
from services.composition.delivering import accompanied, open_delivery
from services.composition.drifting import open_drift
from services.composition.experimenting import open_tick_arms
from services.composition.ledger import beside, open_ledger
from services.composition.parts import Parts, fence_of, open_history, open_host, open_source
from services.errors import LeaseLost, StoreUnavailable, Unavailable
from services.live.clusters import Clusters
from services.live.decided import Decided
from services.live.deciding import DecisionDiary
from services.live.interruptions import Interruptions
from services.live.loop import LiveLoop, Watch
from services.live.loop import Parts as LoopParts
from services.live.named_models import NamedModels
from services.live.selection import EngineSelection
from services.live.stage import LEASE as LOOP_LEASE
from services.live.stage import LEASE_TTL_S, Stage
from services.live.tracking import Tracked
from services.live.written import LivePredictions
from services.models.gap_predictor import ActiveModels
from services.store.protocol import Lease, Store
from services.telemetry import Metrics

FILLER_LEASE = "gap_filler"
ACQUIRE_PATIENCE_S = 2 * LEASE_TTL_S
STOP_PATIENCE_S = 20.0
_log = structlog.get_logger(__name__)


class FillMetrics:
    """A `FillObserver` that counts."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def shard_ended(self, shard: Shard, seconds: float) -> None:
        """Records, and how the shard ended."""
        self._metrics.gap_fill_shards.labels(region=shard.region, result=shard.state).inc()
        self._metrics.gap_fill_records.labels(region=shard.region).inc(shard.stored)
        if shard.state == "failed":
            self._metrics.gap_fill_errors.labels(region=shard.region, kind=shard.error.split(":", 1)[0]).inc()

    def predictions_made(self, model_id: str, count: int) -> None:
        """Gap predictions."""
        self._metrics.predictions.labels(model_id=model_id, origin="gap").inc(count)

    def prices_ingested(self, stored: int, present: int, refused: int) -> None:
        """Live prices."""
        self._metrics.gap_fill_records.labels(region="live").inc(stored)

    def job_ended(self, job: Job) -> None:
        """Nothing to count; the filler itself says it in the log."""


class Worker:
    """One thread under one lease; `failure` is what ended it before it was asked to stop."""

    def __init__(self, store: Store, lease: Lease, work: Callable[[threading.Event], None]) -> None:
        self._store = store
        self._lease = lease
        self._work = work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=lease.name, daemon=True)
        self._keeper = threading.Thread(target=self._keep, name=f"{lease.name}-lease", daemon=True)
        self.failure: str = ""

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()
        self._keeper.start()

    def check(self) -> None:
        """Raises `Unavailable` when the work has ended by itself."""
        if self.failure:
            raise Unavailable(self._lease.name, self.failure)

    def stop(self) -> None:
        """Ask the work to end, wait for it, give the lease back."""
        self._stop.set()
        self._thread.join(STOP_PATIENCE_S)
        self._store.release(self._lease)

    def _run(self) -> None:
        try:
            self._work(self._stop)
        except Exception as error:  # noqa: BLE001 - said to whoever supervises, who starts another
            self.failure = f"{type(error).__name__}: {error}"
            _log.exception("worker_failed", worker=self._lease.name)

    def _keep(self) -> None:
        while not self._stop.wait(LEASE_TTL_S / 3):
            try:
                self._store.renew(self._lease, LEASE_TTL_S)
            except LeaseLost as error:
                self.failure = str(error)
                self._stop.set()
            except StoreUnavailable:
                _log.warning("lease_not_renewed", worker=self._lease.name)


def take_lease(store: Store, name: str) -> Lease:
    """The lease `name`, waiting until a holder that died has lost it; raises `Unavailable` when it stays taken.

    The holder's name is the worker's, not the process's: one that is started again need not wait for itself.
    """
    deadline = time.monotonic() + ACQUIRE_PATIENCE_S
    while time.monotonic() < deadline:
        if lease := store.acquire(name, holder=f"{name}@{os.uname().nodename}", ttl_s=LEASE_TTL_S):
            return lease
        time.sleep(0.25)
    raise Unavailable(name, "another one holds its lease")


def open_filler(parts: Parts) -> tuple[GapFiller, Worker]:
    """The gap filler and the worker that runs its jobs."""
    settings = parts.settings
    source = open_source(settings, parts.store)
    lease = take_lease(parts.store, FILLER_LEASE)
    fence = fence_of(parts.store, lease)
    history = open_history(settings, source.market_id, fence)
    limits = FillLimits(
        default_regions=settings.gap_filler_regions,
        default_instance_types=settings.gap_filler_instance_types,
        historic_days_max=settings.gap_filler_historic_days_max,
    )
    filler = GapFiller(
        source,
        history,
        parts.store,
        ActiveModels(parts.activations, parts.slots),
        limits=limits,
        observer=FillMetrics(parts.metrics),
        fence=fence,
    )

    def work(stop: threading.Event) -> None:
        filler.run(stop, ensure=settings.gap_filler_enabled)

    return filler, Worker(parts.store, lease, work)


def open_loop(parts: Parts, ingest: Callable[[pl.DataFrame, Sequence[Watched]], None]) -> tuple[LiveLoop, Worker]:
    """The live loop and the worker that ticks it; `ingest` reaches the gap filler."""
    settings, store = parts.settings, parts.store
    source = open_source(settings, store)
    lease = take_lease(store, LOOP_LEASE)
    history = open_history(settings, source.market_id, fence_of(store, lease))

    def hand_over(points: pl.DataFrame, watches: Sequence[Watch]) -> None:
        watched = [Watched(w.scope.region, w.scope.instance_types, w.scope.products, w.start, w.end) for w in watches]
        ingest(points, watched)

    stage = Stage(store, lease, settings.event_log_keep)
    courier, platform = open_delivery(parts, lease)
    loop = LiveLoop(
        LoopParts(
            source=source,
            history=history,
            tracked=Tracked(store, settings),
            slots=parts.slots,
            activations=parts.activations,
            host=open_host(settings),
            selection=EngineSelection(store),
            named_models=NamedModels(parts.slots),
            decided=Decided(parts.metrics, Audit(store)),
            clusters=Clusters(store),
            diary=DecisionDiary(store, settings.event_log_keep, lease),
            stage=stage,
            predictions=LivePredictions(history),
            ingest=hand_over,
            drift=open_drift(parts, history, stage, lease),
            interruptions=Interruptions(store),
            courier=courier,
            experiments=open_tick_arms(parts),
        ),
        settings,
        parts.metrics,
    )
    keeper = open_ledger(parts, history, lease)
    return loop, Worker(store, lease, beside(accompanied(loop.run, platform), keeper, settings.live_interval_s))
