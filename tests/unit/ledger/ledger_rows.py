"""Small frames of predictions, prices, interruptions and exposure, in the words of the tests."""

from datetime import UTC, datetime, timedelta

import polars as pl

from gapfill.frames import EXPOSURES, INTERRUPTIONS, PREDICTIONS, PRICES, SERVED

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
A = "us-east-1/us-east-1a/m5.large/Linux/UNIX"
B = "us-east-1/us-east-1b/m5.large/Linux/UNIX"
C = "eu-west-1/eu-west-1a/c5.large/Linux/UNIX"


def made(
    task: str,
    as_of: datetime,
    hours: float = 1,
    *,
    pool: str = A,
    value: float = 0.5,
    origin: str = "live",
    model_id: str = "m:v1",
) -> tuple[object, ...]:
    """One prediction, a row of `predictions`."""
    return (model_id, task, pool, as_of, as_of + timedelta(hours=hours), as_of, origin, value, 1.0, [])


def predictions(*rows: tuple[object, ...]) -> pl.DataFrame:
    """`frames.PREDICTIONS`."""
    return pl.DataFrame(list(rows), schema=PREDICTIONS, orient="row")


def served(*rows: tuple[object, ...], batch: str = "b1", experiment: str = "", arm: str = "") -> pl.DataFrame:
    """`frames.SERVED`; each of `rows` is one of `made` and a count."""
    told = [(*row[:-1], experiment, arm, row[-1], False, batch) for row in rows]
    return pl.DataFrame(told, schema=SERVED, orient="row")


def points(*rows: tuple[datetime, int], pool: str = A) -> pl.DataFrame:
    """`frames.PRICES`."""
    return pl.DataFrame([(pool, "", at, micro) for at, micro in rows], schema=PRICES, orient="row")


def warning(event_id: str, at: datetime, *, pool: str = A, node: str = "i-1", injected: bool = False) -> pl.DataFrame:
    """`frames.INTERRUPTIONS`, of a node of the cluster `shop`."""
    region = pool.split("/", 1)[0]
    row = (event_id, at, "123456789012", region, node, "terminate", pool, "shop" if pool else "", injected)
    return pl.DataFrame([row], schema=INTERRUPTIONS, orient="row")


def exposures(*rows: tuple[str, datetime, bool], pool: str = A, cluster: str = "shop") -> pl.DataFrame:
    """`frames.EXPOSURES`; each row is a node, an instant, and whether it is held from then on."""
    return pl.DataFrame([(cluster, n, pool, at, held) for n, at, held in rows], schema=EXPOSURES, orient="row")
