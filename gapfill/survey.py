"""The coverage of a gap as the history stands, region by region."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import polars as pl

from gapfill.gaps import COVERAGE, CoverageSummary, coverage, holes, summary
from gapfill.history import History
from gapfill.scope import Scope

_NAMED = 200


def survey(
    history: History,
    scope: Scope,
    start: datetime,
    end: datetime,
    kept_from: datetime | None = None,
) -> CoverageSummary:
    """The coverage of the scope's pools over [start, end), added up; `scope.regions` must be named."""
    frames, silences, seen = [pl.DataFrame(schema=COVERAGE)], [], set[str]()
    for region in scope.regions:
        part = Scope((region,), scope.instance_types, scope.products)
        points = history.prices(part, start, end)
        frames.append(coverage(points, start, end, kept_from))
        silences += holes(points, start, end)
        seen |= {_without_zone(pool_id) for pool_id in points["pool_id"].unique()}
    missing = [name for name in _names(scope) if name not in seen]
    return summary(pl.concat(frames), start, end, silences, missing[:_NAMED])


def per_pool(
    history: History, scope: Scope, start: datetime, end: datetime, kept_from: datetime | None = None
) -> pl.DataFrame:
    """The same, one row per pool (`gaps.COVERAGE`)."""
    return coverage(history.prices(scope, start, end), start, end, kept_from)


def _names(scope: Scope) -> Iterator[str]:
    for region in scope.regions:
        for instance_type in scope.instance_types:
            for product in scope.products:
                yield f"{region}/{instance_type}/{product}"


def _without_zone(pool_id: str) -> str:
    parts: Sequence[str] = pool_id.split("/", 3)
    return f"{parts[0]}/{parts[2]}/{parts[3]}"
