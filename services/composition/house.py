"""The house that one HTTP process serves from."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from gapfill.jobs import JobBook
from gapfill.pulled import PulledBook
from services.api.house import DecisionDesk, GapDesk, House, ModelDesk
from services.audit import Audit
from services.composition.confinement import announce
from services.composition.engine_desk import open_engine_swaps
from services.composition.experimenting import open_experiments
from services.composition.parts import Parts, collect_process, open_catalogue, open_history, open_spool
from services.keys import Keys
from services.limits import FailedSignIns, Rate
from services.live.board import FeatureBlock, FeatureBoard, simulated
from services.live.clusters import Clusters
from services.live.decided import Decided
from services.live.deciding import DecisionDiary
from services.live.delivery import delivery_state
from services.live.feed import Feed
from services.live.inference import Inference
from services.live.latest import Latest
from services.live.ledger.skill import SkillBoard
from services.live.named_models import NamedModels
from services.live.rebuilding import rebuilt_block
from services.live.selection import EngineSelection
from services.live.tracking import Tracked
from services.models.registry import Registry
from services.models.shelf import Shelf
from services.models.swapping import Replicas, Swaps
from services.release import RELEASE
from services.sessions import Sessions
from services.store.turns import Result

_log = structlog.get_logger(__name__)
RETRY_S = 0.5


class Desks(Protocol):
    """The ports to parts that may live in another process."""

    @property
    def models(self) -> ModelDesk:
        """The writer of the registry."""
        ...

    @property
    def replicas(self) -> Replicas:
        """Every process that answers requests, this one too."""
        ...

    @property
    def decisions(self) -> DecisionDesk:
        """The selected engine."""
        ...

    @property
    def gaps(self) -> GapDesk:
        """The gap filler."""
        ...

    async def block_after(self, seq: int) -> FeatureBlock | None:
        """The loop's newest feature block above `seq`, waiting some seconds for it."""
        ...

    async def health(self) -> dict[str, tuple[bool, str]]:
        """The parts behind the ports: whether each is ready, and what it says."""
        ...

    async def families(self) -> Sequence[Metric]:
        """What the parts behind the ports have counted."""
        ...


def open_house(parts: Parts, desks: Desks, market_id: str) -> House:
    """Everything the routers need, with the ports of `desks`."""
    settings, store = parts.settings, parts.store
    admin_token = settings.admin_token.get_secret_value() if settings.admin_token else None
    keys = Keys(store, admin_token)
    keys.start()
    board = FeatureBoard()
    latest = Latest(store)
    spool = open_spool(parts)
    swaps = open_swaps(parts, desks.replicas)
    history = open_history(settings, market_id)
    experiments = open_experiments(parts, swaps, history, market_id)
    collect_process(parts.metrics.registry)
    return House(
        settings=settings,
        store=store,
        keys=keys,
        sessions=Sessions(store, keys),
        audit=Audit(store),
        rate=Rate(settings.rate_limit_per_minute),
        failed_sign_ins=FailedSignIns(),
        metrics=parts.metrics,
        registry=Registry(settings.model_dir),
        activations=parts.activations,
        slots=parts.slots,
        swaps=swaps,
        experiments=experiments,
        board=board,
        inference=Inference(board, parts.slots, settings.data_max_age_s, experiments.arms, experiments.shadow, spool),
        spool=spool,
        skills=SkillBoard(store),
        feed=Feed(store, latest.take),
        latest=latest,
        clusters=Clusters(store),
        diary=DecisionDiary(store, settings.event_log_keep),
        tracked=Tracked(store, settings),
        catalogue=open_catalogue(settings),
        selection=EngineSelection(store),
        engine_swaps=open_engine_swaps(parts, desks.decisions),
        named_models=NamedModels(parts.slots),
        decided=Decided(parts.metrics, Audit(store)),
        history=history,
        jobs=JobBook(store),
        models=desks.models,
        decisions=desks.decisions,
        gaps=desks.gaps,
        health=_health(parts, board, desks),
        exposition=_exposition(parts.metrics.registry, desks),
        facts={
            "release": RELEASE,
            "market_id": market_id,
            "simulated": simulated(market_id),
            **announce(settings.allow_weak_confinement, Audit(store)),
        },
    )


def open_swaps(parts: Parts, replicas: Replicas) -> Swaps:
    """How models are activated, counted in the metrics."""

    def told(result: Result) -> None:
        parts.metrics.swaps.labels(what="model", result=result).inc()

    return Swaps(parts.store, parts.activations, Shelf(parts.settings.model_dir), replicas, told)


async def settle_board(house: House, desks: Desks, patience_s: float) -> None:
    """Give the board its first block before anybody asks: the loop's, or else one made of the history.

    Where there is neither, as at a first start, predictions wait for the first tick.
    """
    try:
        block = await asyncio.wait_for(desks.block_after(0), patience_s) if patience_s else None
        if block is None:
            pulled, market_id = PulledBook(house.store), house.facts["market_id"]
            block = await asyncio.to_thread(
                lambda: rebuilt_block(house.history, pulled, house.tracked.scopes(), datetime.now(UTC), market_id)
            )
    except Exception as error:  # noqa: BLE001 - the loop's first block comes all the same
        _log.warning("board_not_settled", error=type(error).__name__, detail=str(error)[:400])
        return
    if block is not None:
        house.board.show(block)
        _log.info("board_settled", seq=block.seq, pools=len(block.pool_ids), as_of=block.as_of.isoformat())


def follow_board(house: House, desks: Desks) -> Coroutine[Any, Any, None]:
    """Keep the board at the loop's newest block; a loop that is being replaced is waited for."""

    async def follow() -> None:
        seq = 0
        while True:
            try:
                block = await desks.block_after(seq)
            except Exception as error:  # noqa: BLE001 - the loop is away; its age on the board says so
                _log.warning("live_loop_not_answering", error=type(error).__name__)
                seq = 0
                await asyncio.sleep(RETRY_S)
                continue
            if block is not None:
                seq = block.seq
                house.board.show(block)

    return follow()


def _health(parts: Parts, board: FeatureBoard, desks: Desks) -> Callable[[], Awaitable[dict[str, tuple[bool, str]]]]:
    async def look() -> dict[str, tuple[bool, str]]:
        found = await desks.health()
        age = board.age_s(datetime.now(UTC))
        fresh = age is not None and age <= parts.settings.data_max_age_s
        found["data"] = (fresh, f"{age:.1f} s old" if age is not None else "no prices yet")
        behind = [
            task
            for task, pointer in (await asyncio.to_thread(parts.activations.all)).items()
            if parts.slots.generation(task) < pointer.generation
        ]
        active = ", ".join(version.model_id for version in parts.slots.versions().values()) or "none active"
        found["models"] = (not behind, f"behind: {', '.join(behind)}" if behind else active)
        if parts.settings.central_platform_url is not None:
            # Never a reason not to serve: what waits is kept.
            found["central_platform"] = (True, await asyncio.to_thread(delivery_state, parts.store))
        return found

    return look


class _Families(Collector):
    """Metric families that other processes have counted."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def _exposition(own: CollectorRegistry, desks: Desks) -> Callable[[], Awaitable[bytes]]:
    async def expose() -> bytes:
        families = [*own.collect(), *await desks.families()]
        merged: dict[str, Metric] = {}
        for family in families:
            merged[family.name] = _together(merged[family.name], family) if family.name in merged else family
        registry = CollectorRegistry()
        registry.register(_Families(list(merged.values())))
        return generate_latest(registry)

    return expose


def _together(one: Metric, other: Metric) -> Metric:
    """One family of two processes' counts: a series may stand in an answer only once.

    Counts add up; of gauges and times of creation the larger one, the one that somebody has set, is kept.
    """
    series = {(sample.name, *sorted(sample.labels.items())): sample for sample in one.samples}
    for sample in other.samples:
        key = (sample.name, *sorted(sample.labels.items()))
        if key in series:
            larger = one.type == "gauge" or sample.name.endswith("_created")
            values = (series[key].value, sample.value)
            sample = sample._replace(value=max(values) if larger else sum(values))
        series[key] = sample
    one.samples = list(series.values())
    return one
