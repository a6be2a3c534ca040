"""The two WebSocket streams."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.websockets import WebSocket

from services.api.asking import PREFIX, InHouse, Who
from services.api.gate import needs
from services.api.house import House
from services.api.stream import Filters, Session, StreamPace, Wish
from services.keys import Principal

router = APIRouter(prefix=PREFIX, tags=["live"])
Names = Annotated[list[str], Query(max_length=200)]
After = Annotated[int | None, Query(ge=0, description="Resume: events with a greater seq")]


@router.websocket("/predictions/live")
@needs("viewer")
async def predictions(
    house: InHouse,
    who: Who,
    socket: WebSocket,
    region: Names = [],  # noqa: B006 - FastAPI copies the default
    instance_type: Names = [],  # noqa: B006
    after: After = None,
) -> None:
    """Every tick's predictions."""
    await run_stream(house, who, socket, Wish("predictions", Filters(tuple(region), tuple(instance_type)), after))


@router.websocket("/decisions/live")
@needs("viewer")
async def decisions(
    house: InHouse,
    who: Who,
    socket: WebSocket,
    region: Names = [],  # noqa: B006 - FastAPI copies the default
    instance_type: Names = [],  # noqa: B006
    cluster_id: Names = [],  # noqa: B006
    after: After = None,
) -> None:
    """Every new decision."""
    filters = Filters(tuple(region), tuple(instance_type), tuple(cluster_id))
    await run_stream(house, who, socket, Wish("decisions", filters, after))


async def run_stream(house: House, who: Principal, socket: WebSocket, wish: Wish) -> None:
    """Serve one stream for as long as its key holds."""
    pace: StreamPace = socket.app.state.stream_pace
    with house.metrics.subscribers.labels(stream=wish.kind).track_inprogress():
        await Session(socket, house.feed, wish, pace, lambda: _holds(house, who)).run(house.facts["market_id"])


def _holds(house: House, who: Principal) -> bool:
    """Whether the key that opened the stream is still one."""
    key = house.keys.known(who.key_id)
    return key is not None and key.usable(datetime.now(UTC))
