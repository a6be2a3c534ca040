"""Decisions on request, those of the past, and the clusters they are for."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from engines.contract import Cluster, Constraints, DecisionOutput, Node, Requirements
from engines.errors import EngineFailed
from gapfill.pools import LINUX
from services import telemetry
from services.api.answers import Json
from services.api.asking import PREFIX, InHouse, Who, record
from services.api.gate import needs
from services.api.house import House
from services.errors import ClusterUnknown, DataStale, RequestInvalid
from services.live.board import FeatureBlock
from services.live.deciding import question

router = APIRouter(prefix=PREFIX, tags=["decisions"])


class DecideRequest(BaseModel):
    """A cluster by its id, registered or new; what is sent beside it holds for this decision only.

    A new one is then known for a day, and decided for at each tick: register it to have it known for good.
    """

    model_config = ConfigDict(extra="forbid")

    cluster_id: str = Field(min_length=1, max_length=255)
    requirements: Requirements | None = None
    constraints: Constraints | None = None


class ClusterState(BaseModel):
    """The state of a cluster as its orchestrator sees it."""

    model_config = ConfigDict(extra="forbid")

    cluster_id: str | None = Field(None, description="May be left out; must be the one of the path")
    nodes: tuple[Node, ...] = Field((), max_length=20_000)
    requirements: Requirements = Field(default_factory=lambda: Requirements())
    constraints: Constraints = Field(default_factory=lambda: Constraints())
    product_description: str = Field(LINUX, min_length=1, max_length=255)


@router.post("/decision/spot-optimize", response_class=Json)
@needs("invoker")
async def spot_optimize(house: InHouse, who: Who, request: DecideRequest) -> Response:
    """What the selected engine would do with the cluster now."""
    cluster = await run_in_threadpool(_cluster, house, request)
    block = house.board.block
    age = house.board.age_s()
    if block is None or age is None or age > house.settings.data_max_age_s:
        raise DataStale(block.as_of if block else None, house.settings.data_max_age_s)
    output = await _decided(house, block, cluster)
    if request.requirements is not None:
        await run_in_threadpool(house.clusters.requested, cluster, who.name, datetime.now(UTC))
    decision = output.decisions[0]
    telemetry.engine_id.set(output.made_by.engine_id if output.made_by else "")
    return Json(
        {
            **decision.model_dump(mode="json"),
            "as_of": output.as_of,
            "decided_by": output.made_by.engine_id if output.made_by else None,
            "made_by": output.made_by.model_dump(mode="json") if output.made_by else None,
            "market_id": block.market_id,
            "seq": block.seq,
        }
    )


@router.get("/decisions/latest", response_class=Json)
@needs("viewer")
def latest(
    house: InHouse, cluster_id: str | None = None, region: str | None = None, instance_type: str | None = None
) -> Response:
    """The latest decision of each cluster, or of those that touch a region or an instance type."""
    rows = house.diary.latest(cluster_id)
    if cluster_id and not rows:
        house.clusters.get(cluster_id)
    return Json({"decisions": [row for row in rows if _touches(row, region, instance_type)]})


@router.get("/decisions/history", response_class=Json)
@needs("viewer")
def history(
    house: InHouse,
    cluster_id: str | None = None,
    before: Annotated[int | None, Query(ge=1)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """Decisions as they were told, newest first; go on with `before` = the last row's seq."""
    return Json({"decisions": house.diary.past(cluster_id, limit, before)})


@router.get("/clusters")
@needs("viewer")
def clusters(house: InHouse) -> list[dict[str, Any]]:
    """The registered clusters."""
    return house.clusters.rows()


@router.put("/clusters/{cluster_id}", response_class=Json)
@needs("invoker")
async def put_cluster(house: InHouse, who: Who, cluster_id: str, state: ClusterState) -> Response:
    """Register a cluster or replace its state; from the next tick on it is decided for."""
    names = [node.node_id for node in state.nodes]
    if len(set(names)) != len(names):
        raise RequestInvalid("nodes", "two nodes have the same node_id.", "Give each node its own.")
    if len(cluster_id) > 255 or state.cluster_id not in (None, cluster_id):
        raise RequestInvalid("cluster_id", "is too long, or not the one of the path.", "Leave it out of the body.")
    cluster = Cluster(
        cluster_id=cluster_id,
        nodes=state.nodes,
        requirements=state.requirements,
        constraints=state.constraints,
        product_description=state.product_description,
    )
    is_new = await run_in_threadpool(house.clusters.put, cluster, who.name, datetime.now(UTC))
    record(house, who, "cluster.put", cluster_id, nodes=len(names))
    return Json(cluster.model_dump(mode="json"), status_code=201 if is_new else 200)


@router.get("/clusters/{cluster_id}", response_class=Json)
@needs("viewer")
def get_cluster(house: InHouse, cluster_id: str) -> Response:
    """A cluster as last put."""
    return Json(house.clusters.get(cluster_id).model_dump(mode="json"))


@router.delete("/clusters/{cluster_id}")
@needs("invoker")
def delete_cluster(house: InHouse, who: Who, cluster_id: str) -> dict[str, Any]:
    """Forget a cluster."""
    house.clusters.remove(cluster_id)
    house.diary.forget(cluster_id)
    record(house, who, "cluster.deleted", cluster_id)
    return {"cluster_id": cluster_id, "deleted": True}


async def _decided(house: House, block: FeatureBlock, cluster: Cluster) -> DecisionOutput:
    """The decision of the selected engine, or of what stands in for it; counted."""
    selected = await run_in_threadpool(house.selection.current)
    models = selected.wanted_models if selected else ()
    given = await run_in_threadpool(question, block, house.slots, [cluster], house.named_models, models)
    began = time.monotonic()
    try:
        output = await house.decisions.decide(given)
    except EngineFailed as error:
        await run_in_threadpool(house.decided.failed, error)
        raise
    await run_in_threadpool(house.decided.made, output, time.monotonic() - began)
    return output


def _cluster(house: House, request: DecideRequest) -> Cluster:
    try:
        known = house.clusters.get(request.cluster_id)
    except ClusterUnknown:
        if request.requirements is None:
            raise
        known = Cluster(cluster_id=request.cluster_id)
    changes = {name: value for name in ("requirements", "constraints") if (value := getattr(request, name)) is not None}
    return known.model_copy(update=changes)


def _touches(row: dict[str, Any], region: str | None, instance_type: str | None) -> bool:
    if region is None and instance_type is None:
        return True
    targets = [action["target"] for action in row["decision"]["recommendations"] if action["target"]]
    return any(
        region in (None, target["region"]) and instance_type in (None, target["instance_type"]) for target in targets
    )
