"""How documents and instants are written down, the same in every store."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LAST_CHARACTER = "\U0010ffff"


def encode_value(value: Mapping[str, Any]) -> bytes:
    """A JSON object as bytes; raises TypeError for what JSON does not have."""
    return orjson.dumps(dict(value))


def decode_value(encoded: bytes) -> dict[str, Any]:
    """The inverse of `encode_value`."""
    value: dict[str, Any] = orjson.loads(encoded)
    return value


def to_micros(at: datetime) -> int:
    """Microseconds since 1970, exactly; raises ValueError for an instant without a time zone."""
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone")
    return (at - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`, in UTC."""
    return EPOCH + micros * MICROSECOND


def prefix_end(prefix: str) -> str:
    """A string after every key that starts with `prefix`."""
    return prefix + LAST_CHARACTER
