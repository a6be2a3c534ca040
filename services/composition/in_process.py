"""The desks of a server that is one process: the same work, one call away."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import polars as pl
from prometheus_client.core import Metric

from gapfill.features.registry import NAMES
from gapfill.filler import GapFiller, Watched
from gapfill.jobs import Job
from gapfill.plan import Analysis
from gapfill.price_files import read_price_file
from gapfill.prices import PriceSource
from gapfill.requests import FillRequest
from gapfill.zones import region_of_zone
from services.api.house import House, UploadOrder
from services.composition.confinement import confinement_of
from services.composition.defaults import apply_defaults
from services.composition.engine_desk import Decisions
from services.composition.house import follow_board, open_house, settle_board
from services.composition.parts import Parts, open_host, open_parts, open_source
from services.composition.workers import Worker, open_filler, open_loop
from services.live.board import FeatureBlock
from services.live.engine_room import EngineRoom
from services.live.selection import EngineSelection
from services.models.inspection import Inspector
from services.models.intake import Intake
from services.models.registry import Registry
from services.models.staging import Staged
from services.models.swapping import LocalReplicas
from services.models.version import ModelVersion
from services.settings import Settings
from services.store.directory import DirectoryLock, bind_market

BLOCK_PATIENCE_S = 1.0


class Models:
    """A `ModelDesk` over the registry."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._intake = open_intake(registry, settings)

    async def admit(self, staged: Staged, order: UploadOrder) -> ModelVersion:
        """See `ModelDesk`."""
        return await asyncio.to_thread(admit, self._intake, staged, order)

    async def delete(self, model_id: str) -> None:
        """See `ModelDesk`."""
        await asyncio.to_thread(self._registry.delete, model_id)


def open_intake(registry: Registry, settings: Settings) -> Intake:
    """The way into the registry, for models over the features that this server computes."""
    return Intake(registry, NAMES, Inspector(confinement=confinement_of(settings)))


def admit(intake: Intake, staged: Staged, order: UploadOrder) -> ModelVersion:
    """An upload and its order, in the intake's words."""
    return intake.admit(
        staged,
        name=order.name,
        version=order.version,
        trained_until=order.trained_until,
        metadata=order.metadata,
        uploaded_by=order.uploaded_by,
        filename=order.filename,
    )


class Gaps:
    """A `GapDesk` over the gap filler."""

    def __init__(self, filler: GapFiller, source: PriceSource) -> None:
        self._filler = filler
        self._source = source

    async def analyze(self, request: FillRequest) -> Analysis:
        """See `GapDesk`."""
        return await asyncio.to_thread(self._filler.analyze, request)

    async def submit(self, request: FillRequest, requested_by: str) -> Job:
        """See `GapDesk`."""
        return await asyncio.to_thread(self._filler.submit, request, requested_by)

    async def cancel(self, task_id: str) -> Job:
        """See `GapDesk`."""
        return await asyncio.to_thread(self._filler.cancel, task_id)

    async def retry(self, task_id: str) -> Job:
        """See `GapDesk`."""
        return await asyncio.to_thread(self._filler.retry, task_id)

    async def ensure_filled(self) -> Job | None:
        """See `GapDesk`."""
        return await asyncio.to_thread(self._filler.ensure_filled)

    async def import_file(self, path: Path, label: str) -> dict[str, int]:
        """See `GapDesk`."""
        return await asyncio.to_thread(import_file, self._filler, self._source, path, label)

    async def places(self) -> dict[str, list[str]]:
        """See `GapDesk`."""
        return await asyncio.to_thread(places, self._source)


def import_file(filler: GapFiller, source: PriceSource, path: Path, label: str) -> dict[str, int]:
    """Read a dump and store its points; zone ids become names where the market knows them."""
    file = read_price_file(path, ZoneNames(source))
    stored = filler.import_prices(file.points, label)
    return {"stored": stored.stored, "present": stored.present, "refused": stored.refused + file.refused}


class ZoneNames(Mapping[str, str]):
    """Zone id → the account's own name of the zone, asked of the market only where a file has ids."""

    def __init__(self, source: PriceSource) -> None:
        self._source = source

    def __getitem__(self, zone_id: str) -> str:
        """Raises KeyError for an id that the market does not have, and `MarketError`s."""
        region = region_of_zone(zone_id)
        if region not in self._source.regions():
            raise KeyError(zone_id)
        return {known: name for name, known in self._source.zones(region).items()}[zone_id]

    def __iter__(self) -> Iterator[str]:
        return (zone_id for region in self._source.regions() for zone_id in self._source.zones(region).values())

    def __len__(self) -> int:
        return sum(1 for _ in self)


def places(source: PriceSource) -> dict[str, list[str]]:
    """Region → instance types; regions are asked side by side."""
    regions = source.regions()
    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(regions, pool.map(lambda region: sorted(source.offerings(region)), regions), strict=True))


class InProcess:
    """All desks and both workers; `start` and `stop` belong to the application's lifespan."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.source = open_source(parts.settings, parts.store)
        selection = EngineSelection(parts.store)
        apply_defaults(parts.settings, parts.activations, selection)
        self.filler, self._filling = open_filler(parts)
        self.loop, self._ticking = open_loop(parts, self._ingest)
        self.models = Models(Registry(parts.settings.model_dir), parts.settings)
        self.replicas = LocalReplicas(parts.slots)
        self.engine_room = EngineRoom(open_host(parts.settings), selection)
        self.decisions = Decisions(self.engine_room)
        self.gaps = Gaps(self.filler, self.source)

    def start(self) -> None:
        """Begin to fill, to tick and to decide."""
        self.engine_room.start()
        self._filling.start()
        self._ticking.start()

    def stop(self) -> None:
        """End both; the loop first, for it hands its last prices over."""
        self._ticking.stop()
        self._filling.stop()
        self.engine_room.stop()

    async def block_after(self, seq: int) -> FeatureBlock | None:
        """See `Desks`."""
        return await asyncio.to_thread(self.loop.wait_block, seq, BLOCK_PATIENCE_S)

    async def health(self) -> dict[str, tuple[bool, str]]:
        """See `Desks`."""
        return {"gap_filler": _state(self._filling), "live_loop": _state(self._ticking)}

    async def families(self) -> Sequence[Metric]:
        """One process, one registry: nothing beside it."""
        return ()

    def _ingest(self, points: pl.DataFrame, watched: Sequence[Watched]) -> None:
        self.filler.ingest(points, watched)


def _state(worker: Worker) -> tuple[bool, str]:
    return not worker.failure, worker.failure or "working"


@asynccontextmanager
async def in_process(settings: Settings) -> AsyncIterator[House]:
    """A whole server in this process for as long as the block runs: it fills and ticks, and hands over at the end.

    Raises `DataDirectoryInUse`, `MarketMismatch`, and what the store and the market raise.
    """
    with DirectoryLock(settings.data_dir):
        parts = open_parts(settings)
        desks = await asyncio.to_thread(InProcess, parts)
        bind_market(settings.data_dir, desks.source.market_id)
        house = await asyncio.to_thread(open_house, parts, desks, desks.source.market_id)
        await settle_board(house, desks, 0.0)
        desks.start()
        following = asyncio.create_task(follow_board(house, desks))
        try:
            yield house
        finally:
            following.cancel()
            await asyncio.to_thread(house.spool.close)
            await asyncio.to_thread(desks.stop)
            house.keys.close()
            parts.close()
