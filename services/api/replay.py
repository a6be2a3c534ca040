"""Engines replayed over the past, past decisions made again, and why a pool was not chosen."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from engines.builtin.spot_optimizer.config import OPTIMISE, OptimizerConfig
from engines.builtin.spot_optimizer.why_not import PoolAnswer, why_not
from engines.contract import Cluster, Constraints, Requirements
from services.api.answers import Json
from services.api.asking import PREFIX, InHouse, Who, record
from services.api.gate import needs
from services.api.house import House
from services.errors import ClusterUnknown, DataStale
from services.live.deciding import question
from services.live.reissuing import reissue
from services.live.replay_order import ReplayJob, ReplayOrder
from services.live.replays import Replays

router = APIRouter(prefix=PREFIX, tags=["replay"])
_OPTIMIZER = "spot_optimizer_v1"


class WhyNotRequest(BaseModel):
    """A cluster as for `decision/spot-optimize`, and the pool in question."""

    model_config = ConfigDict(extra="forbid")

    cluster_id: str = Field(min_length=1, max_length=255)
    pool_id: str = Field(min_length=1, max_length=255, description="region/zone_name/type/product")
    requirements: Requirements | None = None
    constraints: Constraints | None = None


@router.post("/engines/{engine_id}/replay", status_code=202)
@needs("operator")
async def order_replay(house: InHouse, who: Who, engine_id: str, order: ReplayOrder) -> dict[str, Any]:
    """Replay an engine over the server's own history, beside on_demand_only and cheapest_pool; one at a time."""
    engine_ids = (engine_id, *order.beside)
    for one in engine_ids:
        house.catalogue.get(one)
    job = ReplayJob(
        order=order,
        engine_ids=engine_ids,
        history_root=house.history.root,
        market_id=house.history.market_id,
        engine_dir=house.settings.engine_dir,
        engine_timeout_s=house.settings.engine_timeout_s,
        ordered_at=datetime.now(UTC),
    )
    state = await run_in_threadpool(Replays(house.store).start, job, who.name)
    record(house, who, "engine.replay_ordered", engine_id, replay_id=state["replay_id"])
    return state


@router.get("/engines/{engine_id}/replay/{replay_id}")
@needs("viewer")
def replay_status(house: InHouse, engine_id: str, replay_id: str) -> dict[str, Any]:
    """How far a replay is, and its results once it has completed."""
    return Replays(house.store).get(engine_id, replay_id)


@router.delete("/engines/{engine_id}/replay/{replay_id}")
@needs("operator")
def cancel_replay(house: InHouse, who: Who, engine_id: str, replay_id: str) -> dict[str, Any]:
    """End a replay; within a few seconds it is `failed` with the reason `cancelled`."""
    state = Replays(house.store).cancel(engine_id, replay_id)
    record(house, who, "engine.replay_cancelled", engine_id, replay_id=replay_id)
    return state


@router.post("/decisions/history/{seq}/reissue", response_class=Json)
@needs("operator")
async def reissue_decision(house: InHouse, who: Who, seq: int) -> Response:
    """Make a past decision again from its kept input, and compare it byte for byte with what was told."""
    again = await run_in_threadpool(reissue, house.store, house.catalogue, seq)
    record(house, who, "decision.reissued", str(seq), identical=again.identical)
    return Json(
        {
            "seq": again.seq,
            "identical": again.identical,
            "engine_id": again.engine_id,
            "version": again.version,
            "input_sha256": again.input_sha256,
            "told_sha256": again.told_sha256,
            "again_sha256": again.again_sha256,
            "decision": again.decision,
        }
    )


@router.post("/decision/why-not")
@needs("invoker")
async def ask_why_not(house: InHouse, request: WhyNotRequest) -> PoolAnswer:
    """Why spot_optimizer_v1 does not choose a pool for a cluster, and the least that would have to change."""
    cluster = await run_in_threadpool(_cluster, house, request)
    block = house.board.block
    age = house.board.age_s()
    if block is None or age is None or age > house.settings.data_max_age_s:
        raise DataStale(block.as_of if block else None, house.settings.data_max_age_s)
    given = await run_in_threadpool(question, block, house.slots, [cluster])
    config = OptimizerConfig.model_validate(_config(house))
    return await run_in_threadpool(why_not, cluster, given.pools, given.as_of, config, OPTIMISE, request.pool_id)


def _config(house: House) -> dict[str, Any]:
    """The optimiser's config as selected; its defaults while another engine decides."""
    selected = house.selection.current()
    return dict(selected.config) if selected and selected.engine_id == _OPTIMIZER else {}


def _cluster(house: House, request: WhyNotRequest) -> Cluster:
    try:
        known = house.clusters.get(request.cluster_id)
    except ClusterUnknown:
        if request.requirements is None:
            raise
        known = Cluster(cluster_id=request.cluster_id)
    changes = {name: value for name in ("requirements", "constraints") if (value := getattr(request, name)) is not None}
    return known.model_copy(update=changes)
