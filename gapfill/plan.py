"""What a fill would have to do: where the gap begins, how it is cut into shards, what it will cost."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

from pydantic import BaseModel

from gapfill.gaps import CoverageSummary
from gapfill.limits import FillLimits

# The median of a Linux pool in us-east-1 (measured on a 90-day pull); used until the history knows better.
RECORDS_PER_POOL_DAY = 2.3
# Pulled, decoded and stored records per second of one region, until a fill has measured it.
RECORDS_PER_SECOND = 2000.0

REQUIRED_DATA_TYPES = ("spot_prices", "on_demand_prices")


class Stretch(BaseModel):
    """A stretch of time, [start, end)."""

    start: datetime
    end: datetime

    @property
    def days(self) -> float:
        """Its length in days."""
        return (self.end - self.start) / timedelta(days=1)


class ModelGap(BaseModel):
    """The gap of one model; `unavailable` is the part of it that the market no longer has."""

    model_id: str
    task: str
    trained_until: date
    gap_days: int
    unavailable: Stretch | None


class Analysis(BaseModel):
    """What `gap-filler/analyze` answers."""

    trained_until: date
    current_date: date
    gap_days: int
    required_data_types: tuple[str, ...] = REQUIRED_DATA_TYPES
    regions: tuple[str, ...]
    instance_types: tuple[str, ...]
    product_descriptions: tuple[str, ...]
    history_start: datetime  # the gap's start less the longest feature window, as far as the market keeps it
    pools: int  # known from the history, else zones x types offered
    shards: int
    estimated_records: int
    estimated_seconds: float
    unavailable: Stretch | None  # what the market no longer has of the earliest gap
    models: list[ModelGap]
    coverage: CoverageSummary


class ShardPlan(BaseModel):
    """One piece of a fill: the pools of (region, types, products) in [start, end)."""

    region: str
    instance_types: tuple[str, ...]
    products: tuple[str, ...]
    start: datetime
    end: datetime
    first: bool = True  # whether its carry-ins, the points before `start`, lie before the whole fill


def gap_start(trained_until: date) -> datetime:
    """The first instant after the `trained_until` day (UTC): a model knows data to the end of that day."""
    return datetime.combine(trained_until + timedelta(days=1), time.min, UTC)


def trained_until_of(knows_until: datetime) -> date:
    """The inverse of `gap_start`."""
    return (knows_until.astimezone(UTC) - timedelta(days=1)).date()


def unavailable(start: datetime, kept_from: datetime) -> Stretch | None:
    """The part of a gap from `start` that lies before what the market keeps."""
    return Stretch(start=start, end=kept_from) if start < kept_from else None


def windows(start: datetime, end: datetime, span: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """[start, end) cut into pieces of at most `span`."""
    while start < end:
        upto = min(start + span, end)
        yield start, upto
        start = upto


def cut(
    region: str,
    instance_types: Sequence[str],
    products: Sequence[str],
    start: datetime,
    end: datetime,
    limits: FillLimits,
    first: bool = True,
) -> list[ShardPlan]:
    """The shards of a region, oldest first; `first` says whether points before `start` are new to the fill."""
    step = limits.types_per_shard
    return [
        ShardPlan(
            region=region,
            instance_types=tuple(instance_types[i : i + step]),
            products=tuple(products),
            start=since,
            end=until,
            first=first and since == start,
        )
        for since, until in windows(start, end, limits.span)
        for i in range(0, len(instance_types), step)
    ]
