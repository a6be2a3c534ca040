"""How answers are written: JSON by orjson, tables as columns, instants in ISO 8601 with a Z."""

from typing import Any

import orjson
import polars as pl
from starlette.responses import JSONResponse


class Json(JSONResponse):
    """A JSON answer that knows datetimes and numpy scalars."""

    def render(self, content: Any) -> bytes:
        """The bytes of an answer."""
        return dumps(content)


def dumps(content: Any) -> bytes:
    """JSON as every answer and every WebSocket message has it; NaN becomes null."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z)


def columns(rows: pl.DataFrame) -> dict[str, list[Any]]:
    """Column name → values."""
    return {name: rows[name].to_list() for name in rows.columns}


def instants(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with instants as text."""
    return rows.with_columns(pl.selectors.datetime().dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ"))
