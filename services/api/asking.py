"""What every router takes from a request: the house, who asks, and the word for the audit log."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import Depends
from pydantic import AwareDatetime, Field
from starlette.requests import HTTPConnection

from services import telemetry
from services.api.house import House
from services.keys import Principal

PREFIX = "/api/v1/ml"
FIRST_SPOT_DAY = date(2009, 12, 14)  # AWS announced spot instances on it
# Instants that can be meant; beyond them arithmetic with time zones and windows ends.
Instant = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))]
PlaceName = Annotated[str, Field(max_length=100)]


async def _house(connection: HTTPConnection) -> House:
    found: House = connection.app.state.house
    return found


async def _who(connection: HTTPConnection) -> Principal:
    principal: Principal = connection.state.principal
    return principal


# Coroutines, though they wait for nothing: FastAPI would send plain functions through its thread pool.
InHouse = Annotated[House, Depends(_house)]
Who = Annotated[Principal, Depends(_who)]


def record(house: House, who: Principal, action: str, target: str, **detail: Any) -> None:
    """One line in the audit log: who did what to what."""
    house.audit.record(who, action, target, request_id=telemetry.request_id.get(), **detail)
