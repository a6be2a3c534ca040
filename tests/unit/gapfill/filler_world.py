"""A gap filler over prices in memory: twelve pools, a point every ten hours, a market that counts and fails."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from gapfill.filler import GapFiller
from gapfill.frames import INSTANCE_TYPES, ON_DEMAND, PRICES
from gapfill.history import History
from gapfill.limits import FillLimits
from gapfill.memory_source import MemoryPriceSource
from gapfill.pools import LINUX, Pool
from gapfill.prices import PricePage
from services.store.sqlite import SqliteStore
from tests.fake_predictor import FakePredictor, model

NOW = datetime(2026, 3, 31, 12, 30, 15, tzinfo=UTC)
GAP_START = datetime(2026, 3, 22, tzinfo=UTC)
REGIONS = ("eu-west-1", "us-east-1")
TYPES = ("c5.large", "m5.large", "m5.xlarge")
ZONES = ("a", "b")
# Every 10 h from 20 days back; the first one lies before the window of a 9-day gap, so it is the carry-in's elder.
AGES_H = range(0, 480, 10)


def all_points() -> pl.DataFrame:
    rows = [
        (Pool(region, region + zone, t).pool_id, f"{region}-{zone}", NOW - timedelta(hours=age), 10_000 + age)
        for region in REGIONS
        for zone in ZONES
        for t in TYPES
        for age in AGES_H
    ]
    return pl.DataFrame(rows, schema=PRICES, orient="row")


class Market(MemoryPriceSource):
    """Counts what is asked, and fails where it is told to."""

    def __init__(self, clock: Callable[[], datetime], points: pl.DataFrame | None = None) -> None:
        places = [(region, t) for region in REGIONS for t in TYPES]
        super().__init__(
            all_points() if points is None else points,
            pl.DataFrame([(r, t, LINUX, NOW, 96_000) for r, t in places], schema=ON_DEMAND, orient="row"),
            pl.DataFrame([(t, 2, 8192, "x86_64", 0) for t in TYPES], schema=INSTANCE_TYPES, orient="row"),
            clock=clock,
            page_size=20,
        )
        self.asked: list[tuple[str, tuple[str, ...], datetime, datetime]] = []
        self.failing: dict[str, list[Exception]] = {}
        self.before_page: Callable[[], None] = lambda: None

    def spot_pages(
        self, region: str, instance_types: Sequence[str], products: Sequence[str], start: datetime, end: datetime
    ) -> Iterator[PricePage]:
        self.asked.append((region, tuple(instance_types), start, end))
        if self.failing.get(region):
            raise self.failing[region].pop(0)
        for page in super().spot_pages(region, instance_types, products, start, end):
            self.before_page()
            yield page


@dataclass
class World:
    market: Market
    history: History
    store: SqliteStore
    predictor: FakePredictor
    filler: GapFiller
    now: list[datetime] = field(default_factory=lambda: [NOW])

    def run(self) -> None:
        """Run every job that is waiting."""
        while self.filler.run_next(threading.Event()):
            pass


LIMITS = FillLimits(
    default_regions=REGIONS, default_instance_types=TYPES, types_per_shard=2, days_per_shard=7, pools_per_chunk=5
)


def build(
    folder: Path,
    limits: FillLimits = LIMITS,
    fence: Callable[[], None] = lambda: None,
    points: pl.DataFrame | None = None,
) -> World:
    now = [NOW]
    market = Market(lambda: now[0], points)
    history = History(folder / "history", market.market_id, fence)
    store = SqliteStore(folder / "store.sqlite3")
    predictor = FakePredictor(model(GAP_START))
    filler = GapFiller(market, history, store, predictor, limits=limits, clock=lambda: now[0])
    return World(market, history, store, predictor, filler, now)


def expected_records(pools: int) -> int:
    """Points in the window of a 9-day gap, and the one before it, of so many pools."""
    start = GAP_START - timedelta(days=7)
    inside = [age for age in AGES_H if start <= NOW - timedelta(hours=age) < NOW]
    return pools * (len(inside) + 1)
