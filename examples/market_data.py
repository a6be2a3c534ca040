"""What an offline pipeline pulls: spot history, on-demand prices and types by boto3, interruptions by HTTP."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import httpx
import polars as pl

from gapfill.aws import AwsPriceSource
from gapfill.frames import INSTANCE_TYPES, INSTANT, ON_DEMAND, PRICES
from gapfill.pools import LINUX

INTERRUPTIONS = pl.Schema({"pool_id": pl.String(), "at": INSTANT})


@dataclass(frozen=True)
class MarketData:
    """Everything of [start, end): points, on-demand prices, types, and interruptions (None: nobody tells them)."""

    start: datetime
    end: datetime
    points: pl.DataFrame
    on_demand: pl.DataFrame
    instance_types: pl.DataFrame
    interruptions: pl.DataFrame | None


def pull(
    regions: Sequence[str],
    instance_types: Sequence[str],
    start: datetime,
    end: datetime,
    interruptions_url: str | None = None,
) -> MarketData:
    """Pull Linux pools of the regions and types, regions side by side; endpoints come from AWS's own variables.

    `interruptions_url` is a market server's address. Raises `MarketError`s, and httpx errors of that server.
    """
    source = AwsPriceSource(home_region=regions[0])

    def prices(region: str) -> pl.DataFrame:
        pages = source.spot_pages(region, instance_types, [LINUX], start, end)
        return pl.concat([pl.DataFrame(schema=PRICES), *(page.points for page in pages)])

    def on_demand(region: str) -> pl.DataFrame:
        return source.on_demand(region, instance_types, [LINUX])

    def types(region: str) -> pl.DataFrame:
        return source.instance_types(region, instance_types)

    def struck(region: str) -> pl.DataFrame:
        return _interruptions(str(interruptions_url), region, start, end)

    with ThreadPoolExecutor(max_workers=4 * len(regions)) as pool:
        wanted = [pool.map(ask, regions) for ask in (prices, on_demand, types)]
        told = None if interruptions_url is None else pl.concat(pool.map(struck, regions))
        points, listed, made = (pl.concat(parts) for parts in wanted)
    # What is asked now is taken to have held all the time: on-demand prices change about once a year.
    listed = listed.with_columns(pl.lit(start).cast(INSTANT).alias("at"))
    return MarketData(
        start,
        end,
        points.filter(pl.col("at") < end),
        listed.match_to_schema(ON_DEMAND),
        made.unique("instance_type").match_to_schema(INSTANCE_TYPES),
        told,
    )


def _interruptions(address: str, region: str, start: datetime, end: datetime) -> pl.DataFrame:
    query = {"region": region, "start": start.isoformat(), "end": end.isoformat()}
    url = f"{address.rstrip('/')}/_market/interruptions"
    answer = httpx.get(url, params=query, timeout=60.0, trust_env=False)  # a market is local: no proxy
    answer.raise_for_status()
    rows = [(one["pool_id"], datetime.fromisoformat(one["at"])) for one in answer.json()["interruptions"]]
    return pl.DataFrame(rows, schema=INTERRUPTIONS, orient="row")
