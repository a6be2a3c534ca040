"""What a fill is asked for, and whether that can be meant."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from gapfill.errors import FillRequestInvalid, GapUnknown, UnknownPlace
from gapfill.features.registry import LONGEST_WINDOW
from gapfill.jobs import Job
from gapfill.limits import FillLimits
from gapfill.plan import ShardPlan, Stretch, cut, gap_start, trained_until_of, unavailable
from gapfill.pools import LINUX, PRODUCTS
from gapfill.predicting import GapModel
from gapfill.prices import PriceSource
from gapfill.pulled import PulledBook


@dataclass(frozen=True, slots=True)
class FillRequest:
    """What is empty means its default: the configured regions and types, Linux/UNIX, the earliest gap of a model."""

    regions: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()
    product_descriptions: tuple[str, ...] = ()
    trained_until: date | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A request with nothing left open: `history_start` .. `end` of the pools of regions x types x products."""

    regions: tuple[str, ...]
    instance_types: tuple[str, ...]
    products: tuple[str, ...]
    trained_until: date
    gap_start: datetime
    history_start: datetime
    end: datetime
    unavailable: Stretch | None

    @property
    def kept_from(self) -> datetime | None:
        """The oldest instant the market answers for, where that cuts into the gap or the window before it."""
        return self.history_start if self.history_start > self.gap_start - LONGEST_WINDOW else None

    def covered_by(self, job: Job) -> bool:
        """Whether the job fills all of it."""
        return (
            set(job.regions) >= set(self.regions)
            and set(job.instance_types) >= set(self.instance_types)
            and set(job.product_descriptions) >= set(self.products)
            and job.gap_start <= self.gap_start
        )


def resolve(
    request: FillRequest, models: Sequence[GapModel], limits: FillLimits, source: PriceSource, now: datetime
) -> Target:
    """Fill in the defaults and check.

    Raises `GapUnknown` without a date and without a model, `FillRequestInvalid` for a date in the future or an unknown
    product, `UnknownPlace` for a region that is not enabled or a type that none of the regions offers. A gap that
    begins tomorrow is empty now: only the history before it is pulled.
    """
    regions = _unique(request.regions or limits.default_regions, "regions")
    types = _unique(request.instance_types or limits.default_instance_types, "instance_types")
    products = _unique(request.product_descriptions or (LINUX,), "product_descriptions")
    for product in products:
        if product not in PRODUCTS:
            raise FillRequestInvalid("product_descriptions", product, "one of " + ", ".join(PRODUCTS))
    end = now.astimezone(UTC).replace(microsecond=0)
    if request.trained_until is not None and request.trained_until > end.date():
        today = end.date().isoformat()
        raise FillRequestInvalid("trained_until", request.trained_until.isoformat(), f"today ({today}, UTC) or earlier")
    trained_until = request.trained_until or _earliest(models)
    start = min(gap_start(trained_until), end)
    _check_places(regions, types, source)
    kept_from = end - timedelta(days=limits.historic_days_max)
    history_start = max(start - LONGEST_WINDOW, kept_from)
    return Target(regions, types, products, trained_until, start, history_start, end, unavailable(start, kept_from))


def whole(target: Target, limits: FillLimits) -> list[ShardPlan]:
    """All shards of the target."""
    return [
        shard
        for region in target.regions
        for shard in cut(region, target.instance_types, target.products, target.history_start, target.end, limits)
    ]


def missing(target: Target, limits: FillLimits, pulled: PulledBook) -> list[ShardPlan]:
    """Shards for what of the target has not been pulled yet."""
    return [
        shard
        for region in target.regions
        for product in target.products
        for (since, until), types in pulled.missing(
            region, target.instance_types, product, target.history_start, target.end
        ).items()
        for shard in cut(region, types, (product,), since, until, limits, first=since == target.history_start)
    ]


def offered(limits: FillLimits, source: PriceSource) -> tuple[FillRequest, tuple[str, ...]] | None:
    """The default regions and types as far as the market has them, and what it has not; None when nothing is left."""
    enabled = source.regions()
    regions = tuple(region for region in limits.default_regions if region in enabled)
    known = frozenset[str]().union(*(source.offerings(region) for region in regions))
    types = tuple(name for name in limits.default_instance_types if name in known)
    left_out = {*limits.default_regions, *limits.default_instance_types}.difference(regions, types)
    return (FillRequest(regions, types), tuple(sorted(left_out))) if regions and types else None


def _check_places(regions: Sequence[str], types: Sequence[str], source: PriceSource) -> None:
    enabled = source.regions()
    for region in regions:
        if region not in enabled:
            raise UnknownPlace("region", region, nearest(region, enabled))
    offered: set[str] = set()
    for region in regions:
        offered |= source.offerings(region)
        if offered.issuperset(types):
            return
    for instance_type in types:
        if instance_type not in offered:
            raise UnknownPlace("instance_type", instance_type, nearest(instance_type, sorted(offered)))


def nearest(name: str, known: Sequence[str]) -> tuple[str, ...]:
    """Up to three known names that look like `name`."""
    return tuple(difflib.get_close_matches(name, known, n=3, cutoff=0.5))


def _earliest(models: Sequence[GapModel]) -> date:
    if not models:
        raise GapUnknown
    return trained_until_of(min(model.knows_until for model in models))


def _unique(names: Sequence[str], field: str) -> tuple[str, ...]:
    if not names:
        raise FillRequestInvalid(field, "", "at least one name")
    return tuple(dict.fromkeys(names))
