"""Accuracy: how good predictions were, once it is known what happened."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from starlette.concurrency import run_in_threadpool

from gapfill.scope import Scope
from services.api.answers import Json
from services.api.asking import PREFIX, InHouse, Instant
from services.api.gate import needs
from services.errors import RequestInvalid
from services.live.ledger.accuracy import LEAST_KNOWN, accuracy, figures
from services.live.ledger.scored import ORIGINS, SCORED, scored_rows
from services.models.version import Task

LONGEST = timedelta(days=366)
router = APIRouter(prefix=PREFIX, tags=["accuracy"])
GroupBy = Literal["model_id", "origin", "region", "instance_type", "pool_id", "experiment", "arm"]
Origin = Literal["gap", "backtest", "live", "served"]


@router.get("/accuracy", response_class=Json)
@needs("viewer")
async def get_accuracy(
    house: InHouse,
    start: Annotated[Instant | None, Query(alias="from", description="Default: `hours` before `to`")] = None,
    end: Annotated[Instant | None, Query(alias="to", description="Default: now")] = None,
    hours: Annotated[float, Query(gt=0, le=24 * 366, description="Length of the window, without `from`")] = 168,
    model_id: str | None = None,
    task: Task | None = None,
    origin: Annotated[list[Origin], Query(description="`gap` is also called `backtest`")] = [],  # noqa: B006
    region: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies the default
    instance_type: Annotated[list[str], Query()] = [],  # noqa: B006
    experiment: Annotated[str | None, Query(description="Its id; empty: outside of experiments")] = None,
    arm: str | None = None,
    group_by: Annotated[list[GroupBy], Query()] = ["model_id", "origin"],  # noqa: B006
) -> Response:
    """Figures of predictions that became due in the window, and how many made in it are still awaited."""
    now = datetime.now(UTC)
    since, until = _window(start, end, hours, now)
    origins = tuple({"gap" if one == "backtest" else one for one in origin}) or ORIGINS
    rows = await run_in_threadpool(
        lambda: scored_rows(
            house.history,
            since,
            until,
            now,
            scope=Scope(tuple(region), tuple(instance_type)),
            model_id=model_id,
            experiment=experiment,
            arm=arm,
            origins=origins,
            task=task,
            confirmed=house.clusters.confirmed(),
        )
    )
    groups = await run_in_threadpool(accuracy, rows, group_by)
    return Json(
        {
            "market_id": house.facts["market_id"],
            "simulated": house.facts["simulated"],
            "from": since,
            "to": until,
            "group_by": group_by,
            "least_known_for_skill": LEAST_KNOWN,
            "predictions": rows.height,
            "status": _status(groups),
            "groups": groups,
        }
    )


def _status(groups: list[dict[str, Any]]) -> str:
    """The best that any group has to tell."""
    words = {group["status"] for group in groups}
    empty: str = figures(SCORED.to_frame())["status"]
    return next((word for word in ("known", "awaiting_actuals", "unknown") if word in words), empty)


def _window(start: datetime | None, end: datetime | None, hours: float, now: datetime) -> tuple[datetime, datetime]:
    until = (end or now).astimezone(UTC)
    since = start.astimezone(UTC) if start else until - timedelta(hours=hours)
    if not since < until <= since + LONGEST:
        raise RequestInvalid("from", "is not before `to`, or over a year before it.", "Send from < to.")
    return since, until
