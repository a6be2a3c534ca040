"""Small tables for the feature tests."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from gapfill.features import compute
from gapfill.frames import ASKS, INSTANCE_TYPES, ON_DEMAND, PRICES
from tests.unit.features.feature_reference import Points, instant

POOL = "us-east-1/us-east-1a/m5.large/Linux/UNIX"
OTHER = "eu-west-1/eu-west-1b/c5.xlarge/Windows"
START = 1_760_000_000 // 3600 * 3600  # a whole hour in October 2025


def prices(pools: Mapping[str, Points]) -> pl.DataFrame:
    """`frames.PRICES` of points by pool."""
    rows = [(pool, "", instant(at), price) for pool, points in pools.items() for at, price in points]
    return pl.DataFrame(rows, schema=PRICES, orient="row")


def asks(rows: Sequence[tuple[str, int]], launched_at: datetime | None = None) -> pl.DataFrame:
    """`frames.ASKS` of (pool, second)."""
    return pl.DataFrame([(pool, instant(at), launched_at) for pool, at in rows], schema=ASKS, orient="row")


def on_demand(rows: Sequence[tuple[str, str, str, int, int]] = ()) -> pl.DataFrame:
    """`frames.ON_DEMAND` of (region, type, product, second, micro-USD)."""
    made = [(*where, instant(at), price) for *where, at, price in rows]
    return pl.DataFrame(made, schema=ON_DEMAND, orient="row")


def types(rows: Sequence[tuple[str, int | None, int | None]] = ()) -> pl.DataFrame:
    """`frames.INSTANCE_TYPES` of (type, vCPU, MiB)."""
    return pl.DataFrame([(*row, "x86_64", 0) for row in rows], schema=INSTANCE_TYPES, orient="row")


def rows_of(pools: Mapping[str, Points], wanted: Sequence[tuple[str, int]]) -> pl.DataFrame:
    """The feature rows of points and asks, with neither on-demand prices nor types."""
    return compute(prices(pools), asks(wanted), on_demand(), types())
