"""Features for people who train elsewhere: DataFrames in and out, and the file-to-file form behind the command."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.parquet as pq

from gapfill.errors import PriceFileInvalid
from gapfill.features.computation import compute
from gapfill.features.on_demand_list import on_demand_tables, read_on_demand_list
from gapfill.features.registry import NAMES
from gapfill.frames import INSTANT, PRICES
from gapfill.price_files import read_price_file
from gapfill.zones import region_of_zone

_NEEDED = ("Timestamp", "AvailabilityZone", "InstanceType", "ProductDescription", "SpotPrice")
COLUMNS = ("AvailabilityZone", "InstanceType", "ProductDescription", "as_of", *NAMES, "imputed")
# Pools computed at once: a year of hours of so many pools takes some hundred megabytes on the way.
_POOLS_AT_ONCE = 60


@dataclass(frozen=True, slots=True)
class Written:
    """What `run` wrote: feature `rows` of `pools`; `refused` records of the price file were no prices."""

    rows: int
    pools: int
    refused: int


def features_table(prices: pd.DataFrame, *, on_demand: pd.DataFrame | None = None, every: str = "1h") -> pd.DataFrame:
    """The features of every pool at every whole `every` (a Polars duration: "1h", "15m", "1d") of its history.

    `prices` has the columns of the API: Timestamp (aware, or UTC), AvailabilityZone (name or id), InstanceType,
    ProductDescription, SpotPrice (USD per hour, text or number); zero, negative and NaN prices are left out.
    `on_demand`: see `on_demand_list.on_demand_tables`. A pool's rows run from the first instant at or after its first
    record to the last record of the whole table. Returns the columns `COLUMNS`, by pool and time: features float64
    (NaN: unknown), as_of UTC, imputed the names, separated by commas, of features that are stand-ins.

    Raises PriceFileInvalid for a missing column or a zone that is none, ValueError for a duration that is none.
    """
    parts = list(_parts(_points(prices), on_demand, every))
    whole = pl.concat(parts) if parts else _empty()
    return whole.to_pandas()


def run(prices_path: Path, out_path: Path, *, on_demand_path: Path | None = None, every: str = "1h") -> Written:
    """`features_table` from file to file: any dump that `read_price_file` knows → .csv or .parquet.

    Raises PriceFileInvalid for a file that is none, ValueError for another ending or a duration that is none.
    Nothing is left of `out_path` when it fails.
    """
    if out_path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"{out_path.name} must end in .csv or .parquet")
    read = read_price_file(prices_path)
    listed = None if on_demand_path is None else read_on_demand_list(on_demand_path)
    staged = out_path.with_name(f".{out_path.name}.part")
    try:
        rows = _write(staged, out_path.suffix, _parts(read.points, listed, every))
        staged.replace(out_path)
    finally:
        staged.unlink(missing_ok=True)
    return Written(rows, read.points["pool_id"].n_unique(), read.refused)


def _points(prices: pd.DataFrame) -> pl.DataFrame:
    """`frames.PRICES` of a DataFrame with the API's columns."""
    missing = [name for name in _NEEDED if name not in prices.columns]
    if missing:
        raise PriceFileInvalid("prices", f"no column {', '.join(missing)}")
    zones = prices["AvailabilityZone"].astype("str")
    try:
        regions = zones.map({zone: region_of_zone(zone) for zone in zones.unique()})
    except ValueError as error:
        raise PriceFileInvalid("prices", str(error)) from error
    types, products = prices["InstanceType"].astype("str"), prices["ProductDescription"].astype("str")
    micro = (pd.to_numeric(prices["SpotPrice"], errors="coerce").astype("float64") * 1e6).round()
    table = pd.DataFrame(
        {
            "pool_id": regions + "/" + zones + "/" + types + "/" + products,
            "at": pd.to_datetime(prices["Timestamp"], utc=True).dt.as_unit("us"),
            "price_micro_usd": micro,
        }
    )
    good = table[table["price_micro_usd"].between(0.5, 1e12)].astype({"price_micro_usd": "int64"})
    points = pl.from_pandas(good.reset_index(drop=True)).with_columns(pl.lit("").alias("zone_id"))
    return points.select(*PRICES).cast(PRICES)


def _parts(points: pl.DataFrame, listed: pd.DataFrame | None, every: str) -> Iterator[pl.DataFrame]:
    """The table in pieces of some pools each."""
    on_demand, types = on_demand_tables(listed)
    asks = _grid(points, every)
    pools = asks["pool_id"].unique(maintain_order=True).sort()
    for start in range(0, len(pools), _POOLS_AT_ONCE):
        some = pools[start : start + _POOLS_AT_ONCE].to_frame()
        rows = compute(
            points.join(some, on="pool_id", how="semi"),
            asks.join(some, on="pool_id", how="semi").sort("pool_id", "as_of"),
            on_demand,
            types,
        )
        yield _outward(rows)


def _grid(points: pl.DataFrame, every: str) -> pl.DataFrame:
    """pool_id and as_of: from each pool's first record to the last record of all."""
    try:
        begin = pl.col("at").min().dt.offset_by(every).dt.offset_by("-1us").dt.truncate(every)
        spans = points.group_by("pool_id").agg(begin.alias("begin"))
        last = points["at"].max()
        instants = pl.datetime_ranges("begin", pl.lit(last, INSTANT), every, time_unit="us")
        return spans.select("pool_id", instants.alias("as_of")).explode("as_of").drop_nulls("as_of")
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"not a duration: {every!r} ({error})") from error


def _outward(rows: pl.DataFrame) -> pl.DataFrame:
    parts = pl.col("pool_id").str.splitn("/", 4).struct
    return rows.with_columns(
        parts.field("field_1").alias("AvailabilityZone"),
        parts.field("field_2").alias("InstanceType"),
        parts.field("field_3").alias("ProductDescription"),
        pl.col("imputed").list.join(","),
    ).select(*COLUMNS)


def _empty() -> pl.DataFrame:
    texts = {name: pl.String() for name in (*COLUMNS[:3], "imputed")}
    return pl.DataFrame(schema={**dict.fromkeys(COLUMNS, pl.Float64()), **texts, "as_of": INSTANT})


def _write(path: Path, suffix: str, parts: Iterator[pl.DataFrame]) -> int:
    first = next(parts, _empty())
    rows = first.height
    if suffix == ".csv":
        with path.open("wb") as file:
            first.write_csv(file)
            for part in parts:
                part.write_csv(file, include_header=False)
                rows += part.height
        return rows
    schema = first.to_arrow().schema
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        writer.write_table(first.to_arrow())
        for part in parts:
            writer.write_table(part.to_arrow().cast(schema))
            rows += part.height
    return rows
