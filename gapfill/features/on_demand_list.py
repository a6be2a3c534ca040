"""On-demand prices and the make-up of types as a data scientist has them: one table, under one of several spellings."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import polars as pl

from gapfill.errors import PriceFileInvalid
from gapfill.frames import INSTANCE_TYPES, ON_DEMAND
from gapfill.pools import LINUX, PRODUCTS

# Our column → the spellings met, in lower case without separators.
_SPELLINGS = {
    "region": ("region", "regioncode"),
    "instance_type": ("instancetype", "type"),
    "product": ("productdescription", "product", "os", "operatingsystem"),
    "price": ("ondemandprice", "ondemandusdhour", "ondemandusd", "priceperunit", "price"),
    "at": ("timestamp", "at", "effectivedate"),
    "vcpu": ("vcpu", "vcpus"),
    "memory_gib": ("memorygib", "memory"),
}
_NEEDED = ("region", "instance_type", "price")
_SYSTEMS = {"linux": PRODUCTS[0], "rhel": PRODUCTS[1], "sles": PRODUCTS[2], "mswin": PRODUCTS[3]}
_ALWAYS = datetime(2006, 8, 25, tzinfo=UTC)  # the first day of EC2: a list without times holds for all of them


def read_on_demand_list(path: Path) -> pd.DataFrame:
    """The table of a CSV or Parquet file; raises PriceFileInvalid when it cannot be read."""
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        return pd.read_parquet(path) if is_parquet else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise PriceFileInvalid(path.name, f"cannot be read as CSV or Parquet: {error}") from error


def on_demand_tables(listed: pd.DataFrame | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(`frames.ON_DEMAND`, `frames.INSTANCE_TYPES`) of a list; both are empty without one.

    Columns: Region, InstanceType, OnDemandPrice (USD per hour; zero and negative ones are left out); optional are
    ProductDescription (Linux/UNIX unless said; other products than ours are left out), Timestamp (from when the
    price held; always unless said), vCPU and MemoryGiB. Raises PriceFileInvalid when a needed column is not there.
    """
    if listed is None:
        return pl.DataFrame(schema=ON_DEMAND), pl.DataFrame(schema=INSTANCE_TYPES)
    rows = pl.from_pandas(_renamed(listed)).with_columns(pl.col("product").replace(_SYSTEMS))
    prices = rows.filter(
        pl.col("product").is_in(PRODUCTS), pl.col("price").is_finite(), (pl.col("price") * 1e6).round() > 0
    )
    on_demand = prices.select(
        "region",
        "instance_type",
        "product",
        "at",
        (pl.col("price") * 1e6).round().cast(pl.Int64).alias("price_micro_usd"),
    )
    types = rows.filter(pl.col("vcpu").is_not_null() | pl.col("memory_gib").is_not_null()).select(
        "instance_type",
        pl.col("vcpu").round().cast(pl.Int64),
        (pl.col("memory_gib") * 1024).round().cast(pl.Int64).alias("memory_mib"),
        pl.lit("").alias("architecture"),
        pl.lit(0, pl.Int64).alias("gpus"),
    )
    return on_demand.match_to_schema(ON_DEMAND), types.unique("instance_type").match_to_schema(INSTANCE_TYPES)


def _renamed(listed: pd.DataFrame) -> pd.DataFrame:
    """Our columns, all of them, in the types that Polars needs."""
    spelled = {re.sub(r"[^a-z]", "", str(column).lower()): column for column in listed.columns}
    found = {ours: next((spelled[one] for one in known if one in spelled), None) for ours, known in _SPELLINGS.items()}
    for name in _NEEDED:
        if found[name] is None:
            raise PriceFileInvalid("on-demand prices", f"no column for {name}: one of {', '.join(_SPELLINGS[name])}")
    columns = {ours: listed[theirs].reset_index(drop=True) for ours, theirs in found.items() if theirs is not None}
    table = pd.DataFrame(columns, index=pd.RangeIndex(len(listed)))
    times = pd.to_datetime(table["at"], utc=True) if "at" in table else pd.Series(_ALWAYS, index=table.index)
    numbers = {
        name: pd.to_numeric(table[name], errors="coerce").astype("float64") if name in table else float("nan")
        for name in ("price", "vcpu", "memory_gib")
    }
    words = {
        name: table[name].astype("str") if name in table else LINUX for name in ("region", "instance_type", "product")
    }
    whole = pd.DataFrame({**words, **numbers}, index=table.index)
    return whole.assign(at=times.dt.as_unit("us"))
