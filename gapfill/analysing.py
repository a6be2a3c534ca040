"""What a fill would have to do, estimated from what past ones did."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from gapfill.history import History
from gapfill.jobs import JobBook
from gapfill.limits import FillLimits
from gapfill.plan import (
    RECORDS_PER_POOL_DAY,
    RECORDS_PER_SECOND,
    Analysis,
    ModelGap,
    trained_until_of,
    unavailable,
)
from gapfill.predicting import GapModel
from gapfill.prices import PriceSource
from gapfill.requests import Target, whole
from gapfill.scope import Scope
from gapfill.survey import survey

# Finished fills that the rate is taken from.
_JOBS_MEASURED = 20


def analyse(
    target: Target,
    models: Sequence[GapModel],
    history: History,
    source: PriceSource,
    limits: FillLimits,
    book: JobBook,
) -> Analysis:
    """Estimates and present coverage for a fill of `target`."""
    scope = Scope(target.regions, target.instance_types, target.products)
    known = history.pools(scope)
    pools = known.height or _pools_offered(target, source)
    days = (target.end - target.history_start) / timedelta(days=1)
    records = round(pools * days * _density(known))
    today = target.end.date()
    return Analysis(
        trained_until=target.trained_until,
        current_date=today,
        gap_days=(today - target.trained_until).days,
        regions=target.regions,
        instance_types=target.instance_types,
        product_descriptions=target.products,
        history_start=target.history_start,
        pools=pools,
        shards=len(whole(target, limits)),
        estimated_records=records,
        estimated_seconds=round(records / _rate(book), 1),
        unavailable=target.unavailable,
        models=[_model_gap(model, target.end, limits) for model in models],
        coverage=survey(history, scope, target.gap_start, target.end, target.kept_from),
    )


def _model_gap(model: GapModel, now: datetime, limits: FillLimits) -> ModelGap:
    trained_until = trained_until_of(model.knows_until)
    return ModelGap(
        model_id=model.model_id,
        task=model.task,
        trained_until=trained_until,
        gap_days=(now.date() - trained_until).days,
        unavailable=unavailable(model.knows_until, now - timedelta(days=limits.historic_days_max)),
    )


def _pools_offered(target: Target, source: PriceSource) -> int:
    """At most this many: not every zone of a region offers each of its types."""
    return sum(
        len(source.zones(region)) * len(source.offerings(region).intersection(target.instance_types))
        for region in target.regions
    ) * len(target.products)


def _density(known: pl.DataFrame) -> float:
    """Records per pool and day, from the history where it is long enough to tell."""
    if known.is_empty():
        return RECORDS_PER_POOL_DAY
    spans = known.select(
        pl.col("points").sum(), ((pl.col("last_at") - pl.col("first_at")).dt.total_hours() / 24).sum().alias("days")
    )
    points, days = spans.row(0)
    return points / days if days >= known.height else RECORDS_PER_POOL_DAY


def _rate(book: JobBook) -> float:
    """Records per second of the last completed fills."""
    records, seconds = 0, 0.0
    for job in book.newest(_JOBS_MEASURED):
        if job.status == "completed" and job.started_at and job.finished_at and job.records_filled:
            records += job.records_filled
            seconds += (job.finished_at - job.started_at).total_seconds()
    return records / seconds if seconds > 0 else RECORDS_PER_SECOND
