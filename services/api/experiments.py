"""Experiments: begun, looked at, weighed anew, promoted, aborted, followed."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket

from services import telemetry
from services.api.answers import Json
from services.api.asking import PREFIX, InHouse, Who, record
from services.api.gate import needs
from services.api.live import After, run_stream
from services.api.stream import Filters, Wish
from services.live.experiments.experiment import ArmName, Experiment, Status
from services.live.experiments.order import ExperimentOrder
from services.models.version import Task

router = APIRouter(prefix=PREFIX, tags=["experiments"])
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Weights(BaseModel):
    """Arm → weight, in any unit; an arm that is left out gets nothing."""

    model_config = ConfigDict(extra="forbid")

    weights: dict[ArmName, Weight] = Field(min_length=1, max_length=8)


class Promotion(BaseModel):
    """The challenger to activate; it may be left out where there is only one."""

    model_config = ConfigDict(extra="forbid")

    arm: ArmName | None = None


class Abortion(BaseModel):
    """Why, for whoever looks at it later."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=500)


@router.post("/experiments", status_code=201, response_class=Json)
@needs("operator")
async def begin(house: InHouse, who: Who, order: ExperimentOrder) -> Response:
    """Start an experiment: A/B (each pool is answered by one arm) or in the shadow (nobody is served)."""
    experiment = await house.experiments.begin(order, who.name)
    record(house, who, "experiment.started", experiment.experiment_id, kind=experiment.kind, arms=experiment.weights)
    return Json(_row(experiment), 201)


@router.get("/experiments", response_class=Json)
@needs("viewer")
def listed(
    house: InHouse,
    task: Task | None = None,
    status: Status | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """Experiments, newest first; each task has at most one that runs."""
    found = [one for one in house.experiments.book.list() if task in (None, one.task) and status in (None, one.status)]
    return Json({"experiments": [_row(one) for one in found[:limit]]})


@router.get("/experiments/{experiment_id}", response_class=Json)
@needs("viewer")
async def standing(house: InHouse, experiment_id: str) -> Response:
    """How the arms stand: what each did, how fast, how well; or that there is not enough data to say."""
    experiment = await run_in_threadpool(house.experiments.book.get, experiment_id)
    block = house.board.block
    found = await run_in_threadpool(house.experiments.standing, experiment, block.pool_ids if block else ())
    return Json({**_row(experiment), **found})


@router.post("/experiments/{experiment_id}/weights", response_class=Json)
@needs("operator")
async def weigh(house: InHouse, who: Who, experiment_id: str, order: Weights) -> Response:
    """Give arms other shares of the pools; no pool moves but from an arm that shrinks to one that grows."""
    experiment = await house.experiments.weigh(experiment_id, order.weights, who.name)
    record(house, who, "experiment.weights_changed", experiment_id, weights=experiment.weights)
    return Json(_row(experiment))


@router.post("/experiments/{experiment_id}/promote", response_class=Json)
@needs("operator")
async def promote(house: InHouse, who: Who, experiment_id: str, order: Promotion | None = None) -> Response:
    """Activate a challenger, prepared on every replica first, and end the experiment."""
    experiment, pointer = await house.experiments.promote(experiment_id, order.arm if order else None, who.name)
    telemetry.model_id.set(pointer.model_id)
    record(house, who, "experiment.promoted", experiment_id, model_id=pointer.model_id, generation=pointer.generation)
    return Json({**_row(experiment), "model_id": pointer.model_id, "generation": pointer.generation})


@router.post("/experiments/{experiment_id}/abort", response_class=Json)
@needs("operator")
async def abort(house: InHouse, who: Who, experiment_id: str, order: Abortion | None = None) -> Response:
    """End it; the active version answers for every pool again."""
    reason = order.reason if order else ""
    experiment = await house.experiments.abort(experiment_id, who.name, reason)
    record(house, who, "experiment.aborted", experiment_id, reason=reason)
    return Json(_row(experiment))


@router.websocket("/experiments/live")
@needs("viewer")
async def live(house: InHouse, who: Who, socket: WebSocket, after: After = None) -> None:
    """Every change of an experiment."""
    await run_stream(house, who, socket, Wish("experiments", Filters(), after))


def _row(experiment: Experiment) -> dict[str, Any]:
    return experiment.model_dump(mode="json", exclude={"runs"})
