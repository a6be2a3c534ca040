"""The parts that several processes of a server each build for themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from engines.catalogue import Catalogue
from engines.confined_engine import EngineLimits
from engines.host import EngineHost
from gapfill.aws import AwsPriceSource
from gapfill.errors import StaleWriter
from gapfill.history import History, no_fence
from services.composition.confinement import confinement_of
from services.live.ledger.spool import Spool
from services.models.activation import Activations
from services.models.loading import Confined, ConfinedHere, ScorerLoader
from services.models.quarantine import Quarantine
from services.models.shelf import Shelf
from services.models.slots import Slots
from services.settings import Settings
from services.store.directory import bind_store_market
from services.store.measured import MeasuredStore
from services.store.opening import open_store
from services.store.protocol import Lease, Store
from services.telemetry import Metrics


@dataclass(frozen=True)
class Parts:
    """What every process has: the settings, the store, metrics of its own, scorers of its own."""

    settings: Settings
    store: Store
    metrics: Metrics
    activations: Activations
    slots: Slots

    def close(self) -> None:
        """Give back what is held."""
        self.slots.close()
        self.store.close()


def open_parts(settings: Settings, confined: Confined | None = None) -> Parts:
    """Raises what `open_store` raises; `confined` scores what is not compiled, default: children of this process."""
    metrics = Metrics(CollectorRegistry())
    store = MeasuredStore(open_store(settings), metrics)
    loader = open_loader(settings, metrics, confined)
    return Parts(settings, store, metrics, Activations(store), Slots(loader, lift=loader.lift))


def open_loader(settings: Settings, metrics: Metrics, confined: Confined | None = None) -> ScorerLoader:
    """What brings scorers into this process."""
    shelf = Shelf(settings.model_dir)
    if confined is None:
        quarantine = Quarantine(told=lambda model_id, kind: metrics.breakdowns.labels(model_id, kind).inc())
        confined = ConfinedHere(shelf, quarantine, settings.model_score_timeout_s, confinement_of(settings))
    return ScorerLoader(shelf, confined)


def collect_process(registry: CollectorRegistry) -> None:
    """Add what the process says of itself: memory, threads, garbage collection."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)


def open_source(settings: Settings, store: Store) -> AwsPriceSource:
    """The price source; raises `MarketMismatch` when the store belongs to another market, and `MarketError`s."""
    source = AwsPriceSource(settings.gap_filler_aws_region)
    bind_store_market(store, source.market_id)
    return source


def fence_of(store: Store, lease: Lease) -> Callable[[], None]:
    """What a writer calls before each write: raises `StaleWriter` once its lease has passed on."""

    def fence() -> None:
        current = store.generation(lease.name)
        if current != lease.generation:
            raise StaleWriter(lease.name, lease.generation, current)

    return fence


def open_history(settings: Settings, market_id: str, fence: Callable[[], None] = no_fence) -> History:
    """The history under the data directory; a writer gives its fence."""
    return History(settings.data_dir / "history", market_id, fence)


def spool_folder(settings: Settings) -> Path:
    """Where answers wait for the live loop."""
    return settings.data_dir / "spool"


def open_spool(parts: Parts) -> Spool:
    """Where this process notes what it answers; close it at the end."""

    def counted(number: int, result: str) -> None:
        parts.metrics.spooled.labels(result=result).inc(number)

    return Spool(spool_folder(parts.settings), counted)


def open_host(settings: Settings) -> EngineHost:
    """An engine host that has nothing selected yet."""
    return EngineHost(open_catalogue(settings))


def open_catalogue(settings: Settings) -> Catalogue:
    """The engines that can be selected, and what an uploaded one may use."""
    return Catalogue(
        settings.engine_dir, EngineLimits(decide_s=settings.engine_timeout_s, confinement=confinement_of(settings))
    )
