"""The two WebSocket streams."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.websockets import WebSocket

from services.api.asking import PREFIX, InHouse
from services.api.gate import needs
from services.api.house import House
from services.api.stream import Filters, Session
from services.live.events import Kind

router = APIRouter(prefix=PREFIX, tags=["live"])
Names = Annotated[list[str], Query(max_length=200)]
After = Annotated[int | None, Query(ge=0, description="Resume: events with a greater seq")]


@router.websocket("/predictions/live")
@needs("viewer")
async def predictions(
    house: InHouse,
    socket: WebSocket,
    region: Names = [],  # noqa: B006 - FastAPI copies the default
    instance_type: Names = [],  # noqa: B006
    after: After = None,
) -> None:
    """Every tick's predictions."""
    await _run(house, socket, "predictions", Filters(tuple(region), tuple(instance_type)), after)


@router.websocket("/decisions/live")
@needs("viewer")
async def decisions(
    house: InHouse,
    socket: WebSocket,
    region: Names = [],  # noqa: B006 - FastAPI copies the default
    instance_type: Names = [],  # noqa: B006
    cluster_id: Names = [],  # noqa: B006
    after: After = None,
) -> None:
    """Every new decision."""
    await _run(house, socket, "decisions", Filters(tuple(region), tuple(instance_type), tuple(cluster_id)), after)


async def _run(house: House, socket: WebSocket, kind: Kind, filters: Filters, after: int | None) -> None:
    with house.metrics.subscribers.labels(stream=kind).track_inprogress():
        await Session(socket, house.feed, kind, filters, after).run(house.facts["market_id"])
