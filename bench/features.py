"""How long features take: a month's hourly grid of a few pools, and one row for each pool of the world."""

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from gapfill.features import compute
from gapfill.frames import INSTANCE_TYPES, INSTANT, ON_DEMAND, PRICES

_START = datetime(2025, 10, 1, tzinfo=UTC)
_TYPES = [f"{family}.{size}" for family in ("m5", "c5", "r5") for size in ("large", "xlarge", "2xlarge")]


def _pool_ids(count: int) -> list[str]:
    return [f"us-east-1/us-east-1{chr(97 + n % 6)}/{_TYPES[n % 9]}/Linux/UNIX#{n}" for n in range(count)]


def _points(pool_ids: list[str], days: int, a_day: float, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    each = max(1, round(days * a_day))
    total = len(pool_ids) * each
    at = np.datetime64(_START.replace(tzinfo=None), "us") + random.integers(0, days * 86_400, total) * 1_000_000
    return pl.DataFrame(
        {
            "pool_id": np.repeat(pool_ids, each).tolist(),
            "zone_id": "",
            "at": pl.Series(at).dt.replace_time_zone("UTC"),
            "price_micro_usd": random.integers(30_000, 60_000, total) // 100 * 100,
        },
        schema=PRICES,
    )


def _grid(pool_ids: list[str], hours: list[int]) -> pl.DataFrame:
    instants = pl.DataFrame({"as_of": [_START + timedelta(hours=hour) for hour in hours]}, schema={"as_of": INSTANT})
    return pl.DataFrame({"pool_id": pool_ids}).join(instants, how="cross")


def _tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    on_demand = {
        "region": "us-east-1",
        "instance_type": _TYPES,
        "product": "Linux/UNIX",
        "at": _START,
        "price_micro_usd": 96_000,
    }
    made = {"instance_type": _TYPES, "vcpu": 2, "memory_mib": 8192, "architecture": "x86_64", "gpus": 0}
    return pl.DataFrame(on_demand, schema=ON_DEMAND), pl.DataFrame(made, schema=INSTANCE_TYPES)


def _report(name: str, points: pl.DataFrame, asks: pl.DataFrame) -> None:
    tables = _tables()
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        compute(points, asks, *tables)
        times.append(time.perf_counter() - begun)
    print(
        f"{name}: {asks.height:,} rows from {points.height:,} points: best {min(times):.3f} s, worst {max(times):.3f} s"
    )


def main() -> None:
    """Measure and print."""
    few = _pool_ids(36)
    month = list(range(7 * 24, 35 * 24))
    _report("fill, 36 pools, 28 days hourly", _points(few, 35, 2.3), _grid(few, month))
    _report("the same with 200 times the changes", _points(few, 35, 460), _grid(few, month))
    world = _pool_ids(39_000)
    _report("tick, 39,000 pools", _points(world, 8, 2.0), _grid(world, [8 * 24]))


if __name__ == "__main__":
    main()
