"""Two model versions side by side."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool

from services.api.answers import Json
from services.api.asking import PREFIX, InHouse
from services.api.gate import needs
from services.api.house import House
from services.errors import ModelUnavailable, RequestInvalid, Unavailable
from services.live.comparing import made_of, predictions, say
from services.live.ledger.accuracy import accuracy
from services.live.ledger.scored import scored_rows
from services.models.version import ModelVersion

router = APIRouter(prefix=f"{PREFIX}/models", tags=["models"])
Id = Annotated[str, Query(max_length=130, description="name:version")]


@router.get("/compare", response_class=Json)
@needs("viewer")
async def compare(
    house: InHouse, a: Id, b: Id, days: Annotated[float, Query(gt=0, le=90, description="Of accuracy")] = 7
) -> Response:
    """Metadata, metrics and features of two versions of a task, what both say of every tracked pool, and how well."""
    return Json(await run_in_threadpool(_compared, house, a, b, days))


@router.get("/{model_id}/compare/{other}", response_class=Json)
@needs("viewer")
async def compare_with(house: InHouse, model_id: str, other: str) -> Response:
    """The same, by path."""
    return Json(await run_in_threadpool(_compared, house, model_id, other, 7.0))


def _compared(house: House, a: str, b: str, days: float) -> dict[str, Any]:
    ours, theirs = house.registry.get(a), house.registry.get(b)
    if ours.task != theirs.task:
        raise RequestInvalid(
            "b",
            f"{theirs.model_id} is a model of the task {theirs.task}, {ours.model_id} of {ours.task}.",
            "Compare versions of one task.",
        )
    return {
        "task": ours.task,
        **made_of(ours, theirs),
        "predictions": _predictions(house, ours, theirs),
        "accuracy": {"days": days, "a": _accuracy(house, ours, days), "b": _accuracy(house, theirs, days)},
    }


def _predictions(house: House, a: ModelVersion, b: ModelVersion) -> dict[str, Any]:
    """Of the newest rows; where there are none, or a version cannot answer now, the words for it."""
    block = house.board.block
    if block is None:
        return {"unavailable": "no prices yet"}
    try:
        with house.slots.lend_version(a.model_id) as ours:
            said = say(ours, block)
        with house.slots.lend_version(b.model_id) as theirs:
            return predictions(said, say(theirs, block), block)
    except (ModelUnavailable, Unavailable) as error:
        return {"unavailable": f"{type(error).__name__}: {error}"}


def _accuracy(house: House, version: ModelVersion, days: float) -> list[dict[str, Any]]:
    """From the ledger, per origin; nothing where it has nothing."""
    now = datetime.now(UTC)
    since = now - timedelta(days=days)
    rows = scored_rows(house.history, since, now, now, model_id=version.model_id, confirmed=house.clusters.confirmed())
    return accuracy(rows, ["origin"]) if rows.height else []
