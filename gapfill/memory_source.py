"""A price source over frames in memory: for tests, and for whoever has prices and no market."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import polars as pl

from gapfill.errors import RegionNotEnabled
from gapfill.frames import INSTANCE_TYPES, INSTANT, ON_DEMAND, PRICES
from gapfill.prices import PricePage
from gapfill.scope import Scope, with_places


class MemoryPriceSource:
    """`PriceSource` whose regions, zones and offerings are those of its points."""

    def __init__(
        self,
        points: pl.DataFrame,
        on_demand: pl.DataFrame | None = None,
        instance_types: pl.DataFrame | None = None,
        *,
        market_id: str = "sim:memory",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        page_size: int = 1000,
    ) -> None:
        """`points` as `frames.PRICES`, the others as `ON_DEMAND` (its `at` is not used) and `INSTANCE_TYPES`."""
        zone = pl.col("pool_id").str.split("/").list.get(1).alias("zone")
        self._points = with_places(points).with_columns(zone).sort("at", descending=True)
        self._on_demand = pl.DataFrame(schema=ON_DEMAND) if on_demand is None else on_demand
        self._types = pl.DataFrame(schema=INSTANCE_TYPES) if instance_types is None else instance_types
        self._market_id = market_id
        self._clock = clock
        self._page_size = page_size

    @property
    def market_id(self) -> str:
        """See `PriceSource`."""
        return self._market_id

    def regions(self) -> tuple[str, ...]:
        """See `PriceSource`."""
        return tuple(sorted(self._points["region"].unique()))

    def zones(self, region: str) -> dict[str, str]:
        """See `PriceSource`."""
        return dict(self._in(region).select("zone", "zone_id").unique().sort("zone").rows())

    def offerings(self, region: str) -> frozenset[str]:
        """See `PriceSource`."""
        return frozenset(self._in(region)["instance_type"])

    def instance_types(self, region: str, instance_types: Sequence[str]) -> pl.DataFrame:
        """See `PriceSource`."""
        wanted = self.offerings(region).intersection(instance_types)
        return self._types.filter(pl.col("instance_type").is_in(list(wanted))).sort("instance_type")

    def spot_pages(
        self, region: str, instance_types: Sequence[str], products: Sequence[str], start: datetime, end: datetime
    ) -> Iterator[PricePage]:
        """See `PriceSource`."""
        if not instance_types or not products:
            return
        scope = Scope((region,), tuple(instance_types), tuple(products))
        upto = min(end, self._clock())
        known = self._in(region).filter(scope.predicate(), pl.col("at") <= upto).select(*PRICES)
        inside = known.filter(pl.col("at") >= start)
        before = known.filter(pl.col("at") < start).unique("pool_id", keep="first", maintain_order=True)
        for page in pl.concat([inside, before]).iter_slices(self._page_size):
            is_price = pl.col("price_micro_usd") > 0
            yield PricePage(page.filter(is_price), page.filter(~is_price)["at"].to_list())

    def current(self, region: str, instance_types: Sequence[str], products: Sequence[str]) -> pl.DataFrame:
        """See `PriceSource`."""
        now = self._clock()
        pages = [page.points for page in self.spot_pages(region, instance_types, products, now, now)]
        points = pl.concat([pl.DataFrame(schema=PRICES), *pages])
        return points.sort("at").unique("pool_id", keep="last").sort("pool_id")

    def on_demand(self, region: str, instance_types: Sequence[str], products: Sequence[str]) -> pl.DataFrame:
        """See `PriceSource`."""
        self._in(region)
        return self._on_demand.filter(
            pl.col("region") == region,
            pl.col("instance_type").is_in(list(instance_types)),
            pl.col("product").is_in(list(products)),
            pl.col("price_micro_usd") > 0,
        ).with_columns(pl.lit(self._clock()).cast(INSTANT).alias("at"))

    def _in(self, region: str) -> pl.DataFrame:
        found = self._points.filter(pl.col("region") == region)
        if found.is_empty():
            raise RegionNotEnabled(region, "no pool of this region is known")
        return found
