"""The live loop: one tick after another; the only producer of ticks and the only writer of live predictions."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl
import structlog

from engines.errors import EngineFailed
from engines.host import EngineHost
from gapfill.errors import MarketError, StaleWriter
from gapfill.frames import PRICES
from gapfill.history import History
from gapfill.prices import PriceSource
from services.errors import LeaseLost
from services.live.blocks import make_block
from services.live.board import FeatureBlock
from services.live.clusters import Clusters
from services.live.decided import Decided
from services.live.deciding import DecisionDiary, follow_selection, question
from services.live.delivery import Courier
from services.live.drift.watching import DriftWatch
from services.live.experiments.ticking import TickArms
from services.live.facts import score_block
from services.live.interruptions import Interruptions
from services.live.named_models import NamedModels
from services.live.recent import Recent
from services.live.selection import EngineSelection
from services.live.stage import Stage
from services.live.tracking import RegionScope, Tracked
from services.live.written import LivePredictions
from services.models.activation import Activations
from services.models.following import follow_pointers
from services.models.slots import Slots
from services.settings import Settings
from services.telemetry import Metrics

# Prices and predictions are written in batches: after so many ticks, but at most so many seconds.
FLUSH_EVERY_TICKS = 12
FLUSH_EVERY_S = 60.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Watch:
    """Prices of one region that came in while it was asked without a break over [start, end)."""

    scope: RegionScope
    start: datetime
    end: datetime


# Hands live prices to the gap filler, the only writer of price history; raises when it did not take them.
Ingest = Callable[[pl.DataFrame, Sequence[Watch]], None]


@dataclass
class _Region:
    """How far one region's prices are known."""

    scope: RegionScope
    asked_until: datetime | None = None
    unbroken_since: datetime | None = None
    pending: list[pl.DataFrame] = field(default_factory=list)


@dataclass(frozen=True)
class Parts:
    """What the loop works with; all of it is shared with nobody but the store."""

    source: PriceSource
    history: History
    tracked: Tracked
    slots: Slots
    activations: Activations
    host: EngineHost
    selection: EngineSelection
    named_models: NamedModels
    decided: Decided
    clusters: Clusters
    diary: DecisionDiary
    stage: Stage
    predictions: LivePredictions
    ingest: Ingest
    drift: DriftWatch
    interruptions: Interruptions
    courier: Courier | None
    experiments: TickArms


class LiveLoop:
    """Ticks on one thread; `block` may be read from any."""

    def __init__(self, parts: Parts, settings: Settings, metrics: Metrics) -> None:
        self._parts = parts
        self._settings = settings
        self._metrics = metrics
        self._recent = Recent(parts.history)
        self._regions: dict[str, _Region] = {}
        self._seq = 0
        self._flushed_at = time.monotonic()
        self._flush_every_s = min(FLUSH_EVERY_S, FLUSH_EVERY_TICKS * settings.live_interval_s)
        self._changed = threading.Condition()
        self.block: FeatureBlock | None = None

    def run(self, stop: threading.Event) -> None:
        """Tick at every interval until `stop`; then hand over what is not yet written, and end the engine.

        A tick that fails is logged and the next one tries again; `LeaseLost` and `StaleWriter` end the loop.
        """
        while not stop.is_set():
            began = time.monotonic()
            try:
                told = self.tick(datetime.now(UTC))
                self._metrics.ticks.labels(result="ok" if told else "waiting").inc()
            except (LeaseLost, StaleWriter):
                raise
            except Exception:  # noqa: BLE001 - one bad tick must not end the loop
                self._metrics.ticks.labels(result="failed").inc()
                _log.exception("tick_failed")
            took = time.monotonic() - began
            self._metrics.tick_seconds.observe(took)
            self._parts.interruptions.wait(stop, self._settings.live_interval_s - took, self._decide_for)
        self.flush()
        self._parts.host.close()
        self._parts.named_models.close()
        self._parts.experiments.close()

    def tick(self, now: datetime) -> bool:
        """New prices in, predictions and decisions out; False while no tracked pool has a price yet."""
        parts = self._parts
        parts.stage.confirm()
        follow_pointers(parts.slots, parts.activations)
        parts.experiments.follow()
        scopes = parts.tracked.scopes()
        if self._recent.refresh(scopes, now):
            self._add_facts(scopes)
        self._recent.add(self._pull(scopes, now), now)
        block = self._block(now)
        if block is None:
            return False
        self._show(block)
        self._predict(block, now)
        self._decide(block)
        self._metrics.tick_at.set(now.timestamp())
        if time.monotonic() - self._flushed_at >= self._flush_every_s:
            self.flush()
        return True

    def wait_block(self, after: int, timeout_s: float) -> FeatureBlock | None:
        """The newest block when its seq is above `after`, as soon as there is one; None after the timeout."""
        with self._changed:
            self._changed.wait_for(lambda: self.block is not None and self.block.seq > after, timeout_s)
            return self.block if self.block is not None and self.block.seq > after else None

    def flush(self) -> None:
        """Hand live prices to the gap filler and write what was predicted; what fails is kept for the next time."""
        self._flushed_at = time.monotonic()
        try:
            self._parts.predictions.write()
        except StaleWriter:
            raise
        except Exception as error:  # noqa: BLE001 - prices must be handed over all the same
            _log.warning("live_predictions_kept_back", error=type(error).__name__, detail=str(error))
        frames = [frame for region in self._regions.values() for frame in region.pending]
        watches = [
            Watch(region.scope, region.unbroken_since, region.asked_until)
            for region in self._regions.values()
            if region.unbroken_since and region.asked_until
        ]
        if not frames:
            return
        try:
            self._parts.ingest(pl.concat(frames), watches)
        except Exception as error:  # noqa: BLE001 - whatever the other process met, the prices are tried again
            _log.warning("live_prices_kept_back", error=type(error).__name__, detail=str(error))
            return
        for region in self._regions.values():
            region.pending.clear()

    def _add_facts(self, scopes: Sequence[RegionScope]) -> None:
        try:
            self._recent.add_facts(self._parts.source, scopes)
        except MarketError as error:
            _log.warning("facts_not_known", error=type(error).__name__, detail=str(error))

    def _pull(self, scopes: Sequence[RegionScope], now: datetime) -> pl.DataFrame:
        """What the regions have to tell since they were last asked; a region that fails keeps its old prices."""
        with ThreadPoolExecutor(max_workers=max(1, len(scopes))) as pool:
            return pl.concat(
                [pl.DataFrame(schema=PRICES), *pool.map(lambda scope: self._pull_region(scope, now), scopes)]
            )

    def _pull_region(self, scope: RegionScope, now: datetime) -> pl.DataFrame:
        region = self._regions.setdefault(scope.region, _Region(scope))
        since = region.asked_until or now
        try:
            pages = self._parts.source.spot_pages(scope.region, scope.instance_types, scope.products, since, now)
            points = pl.concat([pl.DataFrame(schema=PRICES), *(page.points for page in pages)])
        except MarketError as error:
            _log.warning("region_not_answering", region=scope.region, error=type(error).__name__, detail=error.detail)
            return pl.DataFrame(schema=PRICES)
        if region.scope != scope or region.unbroken_since is None:
            # Nothing can be said of the time in which a newly tracked type was not asked for.
            region.scope, region.unbroken_since = scope, now
        region.asked_until = now
        fresh = points.filter(pl.col("price_micro_usd") > 0, pl.col("at") <= now)
        region.pending.append(fresh)
        return fresh

    def _block(self, now: datetime) -> FeatureBlock | None:
        asked = {name: region.asked_until for name, region in self._regions.items()}
        pools = self._recent.points["pool_id"].unique()
        known_at = {pool_id: at for pool_id in pools if (at := asked.get(pool_id.split("/", 1)[0]))}
        market_id = self._parts.source.market_id
        block = make_block(self._recent, seq=self._seq + 1, as_of=now, market_id=market_id, known_at=known_at)
        if block is not None:
            self._seq += 1
        return block

    def _show(self, block: FeatureBlock) -> None:
        with self._changed:
            self.block = block
            self._changed.notify_all()

    def _predict(self, block: FeatureBlock, now: datetime) -> None:
        experiments = self._parts.experiments
        scores = score_block(block, self._parts.slots, arms=experiments.arms)
        self._parts.stage.tell_predictions(block, scores)
        self._metrics.events.labels(kind="predictions").inc()
        for scored in scores.values():
            self._parts.predictions.add(block, scored, made_at=datetime.now(UTC))
            self._metrics.predictions.labels(model_id=scored.version.model_id, origin="live").inc(len(block.pool_ids))
        experiments.ticked(block, scores, self._parts.predictions)
        self._parts.drift.look(block, [scored.version for scored in scores.values()])
        self._metrics.data_age_seconds.set((datetime.now(UTC) - now).total_seconds())

    def _decide_for(self, cluster_ids: Sequence[str]) -> None:
        """At once, on the newest block: a node of each of these clusters is about to be taken."""
        try:
            if self.block is not None:
                self._parts.stage.confirm()
                self._decide(self.block, cluster_ids)
        except (LeaseLost, StaleWriter):
            raise
        except Exception:  # noqa: BLE001 - the next tick decides for them as well
            _log.exception("interruption_not_decided_for")

    def _decide(self, block: FeatureBlock, only: Sequence[str] | None = None) -> None:
        parts = self._parts
        known = parts.clusters.current(block.as_of)
        clusters = [cluster for cluster in known if only is None or cluster.cluster_id in only]
        if not clusters:
            return
        follow_selection(parts.host, parts.selection)
        selected = parts.selection.current()
        if selected is None:
            return
        given = question(
            block, parts.slots, clusters, parts.named_models, selected.wanted_models, parts.experiments.arms
        )
        began = time.monotonic()
        try:
            output = parts.host.decide(given)
        except EngineFailed as error:
            parts.decided.failed(error)
            return
        parts.decided.made(output, time.monotonic() - began)
        told = parts.diary.news(given, output)
        if told:
            parts.stage.tell_decisions(block, output, told)
            self._metrics.events.labels(kind="decisions").inc()
            if parts.courier is not None:
                parts.courier.wake()
