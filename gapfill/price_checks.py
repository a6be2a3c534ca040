"""What every price source must do: each check is one function, run against each implementation."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from gapfill.errors import RegionNotEnabled
from gapfill.frames import INSTANCE_TYPES, ON_DEMAND, PRICES
from gapfill.pools import Pool
from gapfill.prices import PriceSource


@dataclass(frozen=True, slots=True)
class Terrain:
    """What a check may ask about: a region with several days of prices up to now, types it offers, one it does not."""

    region: str
    instance_types: tuple[str, ...]
    products: tuple[str, ...]
    not_offered: str = "zz9.large"
    not_enabled: str = "xx-nowhere-1"


Check = Callable[[PriceSource, Terrain], None]


def points_of(source: PriceSource, terrain: Terrain, start: datetime, end: datetime) -> pl.DataFrame:
    """All distinct points of the terrain's pools that the source gives for [start, end]."""
    pages = source.spot_pages(terrain.region, terrain.instance_types, terrain.products, start, end)
    return pl.concat([pl.DataFrame(schema=PRICES), *(page.points for page in pages)]).unique().sort("pool_id", "at")


def check_market_id_stays(source: PriceSource, terrain: Terrain) -> None:
    """The market has a name of a known kind, and keeps it."""
    assert source.market_id.split(":", 1)[0] in {"aws", "sim", "replay"}
    assert source.market_id == source.market_id


def check_regions_are_sorted(source: PriceSource, terrain: Terrain) -> None:
    """Regions are named once, in order, and the terrain's is one."""
    regions = source.regions()
    assert terrain.region in regions
    assert list(regions) == sorted(set(regions))


def check_zones_have_ids(source: PriceSource, terrain: Terrain) -> None:
    """Zone names belong to the region and map to ids one to one."""
    zones = source.zones(terrain.region)
    assert zones
    assert all(name.startswith(terrain.region) for name in zones)
    assert len(set(zones.values())) == len(zones)


def check_types_are_described(source: PriceSource, terrain: Terrain) -> None:
    """Offered types are described, others are left out."""
    assert source.offerings(terrain.region).issuperset(terrain.instance_types)
    assert terrain.not_offered not in source.offerings(terrain.region)
    types = source.instance_types(terrain.region, [*terrain.instance_types, terrain.not_offered])
    assert types.schema == INSTANCE_TYPES
    assert types["instance_type"].to_list() == sorted(terrain.instance_types)
    assert types.filter((pl.col("vcpu") < 1) | (pl.col("memory_mib") < 1)).is_empty()


def check_pages_hold_prices(source: PriceSource, terrain: Terrain) -> None:
    """Pages have the schema, only positive prices, only pools that were asked for, with their zone ids."""
    now = datetime.now(UTC)
    zones = source.zones(terrain.region)
    points = points_of(source, terrain, now - timedelta(days=3), now)
    assert points.schema == PRICES
    assert points.height > 0
    assert points.filter(pl.col("price_micro_usd") <= 0).is_empty()
    for pool_id, zone_id in points.select("pool_id", "zone_id").unique().rows():
        pool = Pool.parse(pool_id)
        assert pool.region == terrain.region
        assert pool.instance_type in terrain.instance_types
        assert pool.product in terrain.products
        assert zones[pool.zone] == zone_id


def check_windows_carry_in(source: PriceSource, terrain: Terrain) -> None:
    """A window holds its own points and, per pool, the one before it: two halves make the whole."""
    now = datetime.now(UTC).replace(microsecond=0)
    start, middle = now - timedelta(days=4), now - timedelta(days=2)
    whole = points_of(source, terrain, start, now)
    halves = pl.concat([points_of(source, terrain, start, middle), points_of(source, terrain, middle, now)])
    assert halves.unique().sort("pool_id", "at").equals(whole)
    before = whole.filter(pl.col("at") < start)
    assert before.height == before["pool_id"].n_unique()
    held = points_of(source, terrain, middle, now).filter(pl.col("at") < middle)
    last = whole.filter(pl.col("at") < middle).group_by("pool_id").agg(pl.col("at").max())
    assert held.select("pool_id", "at").sort("pool_id").equals(last.sort("pool_id"))


def check_products_are_filtered(source: PriceSource, terrain: Terrain) -> None:
    """Each product alone gives its own pools."""
    now = datetime.now(UTC)
    for product in terrain.products:
        one = Terrain(terrain.region, terrain.instance_types, (product,))
        pools = points_of(source, one, now, now)["pool_id"].to_list()
        assert pools
        assert {Pool.parse(pool_id).product for pool_id in pools} == {product}


def check_a_type_not_offered_gives_nothing(source: PriceSource, terrain: Terrain) -> None:
    """Not an error: an empty list, and no on-demand price."""
    now = datetime.now(UTC)
    nothing = Terrain(terrain.region, (terrain.not_offered,), terrain.products)
    assert points_of(source, nothing, now - timedelta(days=3), now).is_empty()
    assert source.current(terrain.region, [terrain.not_offered], terrain.products).is_empty()
    assert source.on_demand(terrain.region, [terrain.not_offered], terrain.products).is_empty()


def check_current_is_the_last_point(source: PriceSource, terrain: Terrain) -> None:
    """One point per pool, the last one of its history."""
    current = source.current(terrain.region, terrain.instance_types, terrain.products)
    assert current.schema == PRICES
    assert current["pool_id"].is_unique().all()
    now = datetime.now(UTC)
    history = points_of(source, terrain, now - timedelta(days=3), now)
    assert set(current["pool_id"]) == set(history["pool_id"])
    # A change between the two questions may have made the history one point longer.
    assert current.join(history, on=list(PRICES), how="anti").is_empty()


def check_on_demand_prices(source: PriceSource, terrain: Terrain) -> None:
    """One positive price per type and product at most, as of now."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    prices = source.on_demand(terrain.region, terrain.instance_types, terrain.products)
    assert prices.schema == ON_DEMAND
    assert prices.height > 0
    assert prices.filter(pl.col("price_micro_usd") <= 0).is_empty()
    assert prices.select("region", "instance_type", "product").is_unique().all()
    assert prices.filter(pl.col("at") < before).is_empty()


def check_threads_get_the_same(source: PriceSource, terrain: Terrain) -> None:
    """Several threads at once get what one gets."""
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    alone = points_of(source, terrain, now - timedelta(days=2), now)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(points_of, source, terrain, now - timedelta(days=2), now) for _ in range(4)]
    assert all(one.result().equals(alone) for one in asked)


def check_a_region_not_enabled_is_named(source: PriceSource, terrain: Terrain) -> None:
    """It raises RegionNotEnabled with the region's name."""
    now = datetime.now(UTC)
    nowhere = Terrain(terrain.not_enabled, terrain.instance_types, terrain.products)
    named = ""
    try:
        points_of(source, nowhere, now, now)
    except RegionNotEnabled as error:
        named = error.region
    assert named == terrain.not_enabled, "a region that is not enabled answered"


CHECKS: tuple[Check, ...] = (
    check_market_id_stays,
    check_regions_are_sorted,
    check_zones_have_ids,
    check_types_are_described,
    check_pages_hold_prices,
    check_windows_carry_in,
    check_products_are_filtered,
    check_a_type_not_offered_gives_nothing,
    check_current_is_the_last_point,
    check_on_demand_prices,
    check_threads_get_the_same,
    check_a_region_not_enabled_is_named,
)
