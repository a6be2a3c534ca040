"""Calls across Ray: our own errors come back as themselves, Ray's become `Unavailable`."""

from collections.abc import Awaitable
from typing import TypeVar

from ray.exceptions import RayActorError, RayError, RayTaskError

from engines.errors import EnginesError
from gapfill.errors import GapFillError
from services.errors import ServerError, Unavailable

T = TypeVar("T")
OURS = (ServerError, GapFillError, EnginesError)


async def answered(part: str, asked: Awaitable[T]) -> T:
    """The answer of another process of the server.

    Raises what it raised, or `Unavailable` when it is away: Ray starts it again within seconds.
    """
    try:
        return await asked
    except RayTaskError as error:
        cause = cause_of(error)
        if cause is not None and cause is not error:
            raise cause from None
        raise
    except RayActorError as error:
        raise Unavailable(part, "it is being started again") from error
    except (RayError, RuntimeError) as error:
        raise Unavailable(part, f"it does not answer ({type(error).__name__})") from error


def cause_of(error: Exception) -> Exception | None:
    """What the other process itself raised; None where it is away, or has not got so far."""
    if not isinstance(error, RayTaskError):
        return error if isinstance(error, OURS) else None
    return error.cause if isinstance(error.cause, OURS) else error
