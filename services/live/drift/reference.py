"""What live rows are compared with: the sample that came with the model, or else the first week of its gap."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import polars as pl

from gapfill.backtest import whole_hours
from gapfill.features import compute
from gapfill.features.registry import LONGEST_WINDOW, NAMES
from gapfill.frames import ASKS, INSTANT
from gapfill.history import History
from gapfill.scope import Scope
from services.live.drift.window import Sample, sampled
from services.models.scorer import Matrix, Vector
from services.models.shelf import SampleRows
from services.models.version import ModelVersion

WEEK = timedelta(days=7)
LEAST_SPAN = timedelta(hours=24)
EVERY_HOURS = 4
MOST_POOLS = 200
MOST_ROWS = 1000
LEAST_ROWS = 100
# What a pool is made of; with it in the sample, rows of pools that are not followed here can be left out.
MAKE_UP = ("vcpu", "memory_gib")
LEAST_COVERED = 0.8


@dataclass(frozen=True)
class Reference:
    """Rows of the past, float64[rows, names] (NaN: unknown); `independent` is how many of them tell something new.

    `prices` and `on_demand` are each pool's medians then (USD per hour), for telling by how much a pool has moved.
    """

    source: Literal["sample", "gap"]
    names: tuple[str, ...]
    matrix: Matrix
    independent: int
    prices: dict[str, float]
    on_demand: dict[str, float]

    def column(self, name: str) -> Vector:
        """A feature's values, float64[rows]."""
        return self.matrix[:, self.names.index(name)]

    def stored(self) -> dict[str, Any]:
        """As JSON, at nine significant digits."""
        columns = [[None if np.isnan(v) else float(f"{v:.9g}") for v in column] for column in self.matrix.T]
        return {
            "source": self.source,
            "columns": dict(zip(self.names, columns, strict=True)),
            "independent": self.independent,
            "prices": self.prices,
            "on_demand": self.on_demand,
        }

    @classmethod
    def restored(cls, stored: dict[str, Any]) -> "Reference":
        """From what `stored` gave."""
        columns = stored["columns"]
        matrix = np.array([[np.nan if v is None else v for v in column] for column in columns.values()]).T
        return cls(
            stored["source"], tuple(columns), matrix, stored["independent"], stored["prices"], stored["on_demand"]
        )


def of_sample(version: ModelVersion, rows: SampleRows, live: Sample) -> Reference | None:
    """The author's sample, in the live pools' proportions of make-up where the sample tells it.

    None where it has too few rows, or says nothing of most of the pools that are followed here.
    """
    if len(rows) < LEAST_ROWS:
        return None
    matrix = np.array([[_number(row.get(name)) for name in version.features] for row in rows], np.float64)
    if all(name in version.features for name in MAKE_UP):
        kept = _in_live_proportions(version, matrix, live)
        if kept is None:
            return None
        matrix = kept
    return Reference("sample", version.features, matrix, len(matrix), {}, {})


def _in_live_proportions(version: ModelVersion, matrix: Matrix, live: Sample) -> Matrix | None:
    columns = [version.features.index(name) for name in MAKE_UP]
    places: dict[tuple[float, ...], list[int]] = {}
    for place, key in enumerate(map(tuple, matrix[:, columns].tolist())):
        places.setdefault(key, []).append(place)
    wanted = Counter(zip(*(live.column(name).tolist() for name in MAKE_UP), strict=True))
    covered = {key: count for key, count in wanted.items() if key in places}
    total = sum(covered.values())
    usable = sum(len(places[key]) for key in covered)
    if total < LEAST_COVERED * sum(wanted.values()) or usable < LEAST_ROWS:
        return None
    chosen = [
        places[key][int(step)]
        for key, count in covered.items()
        for step in np.linspace(0, len(places[key]) - 1, max(1, round(usable * count / total)))
    ]
    return matrix[chosen]


def of_gap(history: History, version: ModelVersion, pool_ids: Sequence[str], until: datetime) -> Reference | None:
    """The first week after the model's data ends, of the pools that are followed, every 4 h; up to `until`.

    None while the history has less than a day of it.
    """
    start, end = version.knows_until, min(version.knows_until + WEEK, until)
    if end - start < LEAST_SPAN:
        return None
    chosen = [pool_ids[place] for place in sampled(pool_ids, MOST_POOLS)]
    points = history.prices(Scope.of_pools(chosen), start - LONGEST_WINDOW, end)
    hours = whole_hours(start, end).gather_every(EVERY_HOURS)
    asks = pl.DataFrame({"pool_id": chosen}).join(hours, how="cross")
    asks = asks.with_columns(pl.lit(None, INSTANT).alias("launched_at")).select(*ASKS)
    rows = compute(points, asks, history.on_demand(), history.instance_types())
    return of_rows(rows.filter(pl.col("price").is_not_null(), pl.col("observed_at") >= start - LONGEST_WINDOW))


def of_rows(rows: pl.DataFrame) -> Reference | None:
    """A reference of what `features.compute` returns; None where that is less than a day of a few pools."""
    span = rows["as_of"].max(), rows["as_of"].min()
    if rows.height < LEAST_ROWS or span[0] - span[1] < LEAST_SPAN - timedelta(hours=EVERY_HOURS):  # type: ignore[operator]
        return None
    medians = rows.group_by("pool_id").agg(pl.col("price", "on_demand_price").median())
    # A pool's hours are much alike, its days less so.
    independent = rows.select("pool_id", pl.col("as_of").dt.date()).unique().height
    matrix = rows.select(pl.col(NAMES).cast(pl.Float64)).to_numpy()
    kept = np.unique(np.linspace(0, rows.height - 1, min(rows.height, MOST_ROWS)).astype(np.intp))
    on_demand = medians.drop_nulls("on_demand_price")
    return Reference(
        "gap",
        NAMES,
        matrix[kept].astype(np.float64),
        independent,
        dict(zip(medians["pool_id"], medians["price"], strict=True)),
        dict(zip(on_demand["pool_id"], on_demand["on_demand_price"], strict=True)),
    )


def _number(value: float | None) -> float:
    return np.nan if value is None else value
