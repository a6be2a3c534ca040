"""Reads dumps of spot price history: Parquet, CSV, TSV (with a header or without; zone names or ids), AWS CLI JSON."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from gapfill import frames
from gapfill.errors import PriceFileInvalid
from gapfill.pools import PRODUCTS
from gapfill.zones import is_zone_id, region_of_zone, usual_zone_id, usual_zone_name

# One record as the file has it; a price of 0 or below or NaN is still in it.
RAW = pl.Schema(
    {
        "region": pl.String(),
        "zone": pl.String(),
        "zone_id": pl.String(),
        "instance_type": pl.String(),
        "product": pl.String(),
        "at": frames.INSTANT,
        "price_usd": pl.Float64(),
    }
)

# Column names as they are met, in lower case without separators.
_NAMES = {
    "zone": ("availabilityzone", "zone", "az", "availabilityzoneid", "zoneid", "azid"),
    "instance_type": ("instancetype", "type"),
    "product": ("productdescription", "product"),
    "price": ("spotprice", "price", "priceusd"),
    "at": ("timestamp", "time", "at", "date"),
}
_CLASSIC = " (Amazon VPC)"
_MOST_USD = 100_000.0


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A dump's price points (`frames.PRICES`, sorted by pool and time, each once); `refused` records were no prices."""

    points: pl.DataFrame
    refused: int


def read_price_file(path: Path, zone_names: Mapping[str, str] | None = None) -> PriceFile:
    """Read all pools of a dump; zero, negative and NaN prices are counted and kept out.

    `zone_names` maps zone ids to the account's zone names, for files that have ids only; without it (or for an id it
    does not have) the usual order is taken: `use1-az1` is `us-east-1a`. Raises PriceFileInvalid.
    """
    raw = read_raw_prices(path, zone_names)
    good = raw.filter(pl.col("price_usd") > 0)  # NaN counts as greater than all in Polars, hence:
    good = good.filter(pl.col("price_usd").is_finite())
    points = good.select(
        pool_id=pl.concat_str("region", "zone", "instance_type", "product", separator="/"),
        zone_id="zone_id",
        at="at",
        price_micro_usd=(pl.col("price_usd") * 1_000_000).round().cast(pl.Int64),
    )
    points = points.unique(["pool_id", "at"], keep="last", maintain_order=True).sort("pool_id", "at")
    return PriceFile(points.match_to_schema(frames.PRICES), raw.height - good.height)


def read_raw_prices(path: Path, zone_names: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Every record of a dump in the file's order (schema `RAW`), anomalies and duplicates included.

    Raises PriceFileInvalid, naming the row (from 1, without a header), for what cannot be a record.
    """
    table = _columns(_read(path), path)
    places = _places(table["zone"].unique().to_list(), zone_names or {})
    product = pl.col("product").str.strip_suffix(_CLASSIC)
    table = table.with_columns(product=product, price_usd=pl.col("price").cast(pl.Float64, strict=False))
    table = table.with_columns(at=_instant(table.schema["at"])).join(
        places, on="zone", how="left", maintain_order="left"
    )
    _refuse_rows(table)
    return table.select(
        "region",
        pl.col("name").alias("zone"),
        pl.coalesce("file_zone_id", "zone_id").alias("zone_id"),
        "instance_type",
        "product",
        "at",
        "price_usd",
    ).match_to_schema(RAW)


def _read(path: Path) -> pl.DataFrame:
    """The file as a table of its own columns; text files as text."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
        if head.startswith(b"PAR1"):
            return pl.read_parquet(path)
        if head.lstrip()[:1] in (b"{", b"["):
            return _read_json(path)
        return _read_lines(path, head)
    except OSError as error:
        raise PriceFileInvalid(path.name, f"cannot be read: {error.strerror}") from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise PriceFileInvalid(path.name, f"is not what its beginning says: {str(error).splitlines()[0]}") from error


def _read_json(path: Path) -> pl.DataFrame:
    try:
        whole = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise PriceFileInvalid(path.name, f"is broken JSON: {error}") from error
    rows = whole.get("SpotPriceHistory") if isinstance(whole, dict) else whole
    if not isinstance(rows, list):
        raise PriceFileInvalid(path.name, "has no list SpotPriceHistory, as the AWS CLI prints it")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise PriceFileInvalid(f"row {number}", "is no object")
    text = [{name: None if value is None else str(value) for name, value in row.items()} for row in rows]
    return pl.DataFrame(text, infer_schema_length=None)


def _read_lines(path: Path, head: bytes) -> pl.DataFrame:
    first = head.decode("utf-8-sig", "replace").splitlines()[0] if head else ""
    if not first.strip() or "\x00" in first:
        raise PriceFileInvalid(path.name, "is no Parquet, CSV, TSV or JSON")
    separator = "\t" if "\t" in first else ","
    cells = first.split(separator)
    named = any(_plain(cell) in known for cell in cells for known in _NAMES.values())
    table = pl.read_csv(path, separator=separator, has_header=named, infer_schema=False)
    return table if named else table.rename(_guessed(cells, table.columns, path))


def _guessed(cells: list[str], columns: list[str], path: Path) -> dict[str, str]:
    """What each column of a file without a header holds, by the looks of its first line."""
    names = {
        column: name for column, cell in zip(columns, cells, strict=False) if (name := _looks_like(cell.strip('" ')))
    }
    if len(set(names.values())) != len(_NAMES):
        raise PriceFileInvalid(path.name, "has no header, and its first line does not show five known columns")
    return names


def _looks_like(cell: str) -> str | None:
    if cell.removesuffix(_CLASSIC) in PRODUCTS:
        return "product"
    if _is_zone(cell):
        return "zone"
    if re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*", cell):
        return "at"
    if re.fullmatch(r"\d*\.\d+|\d+", cell):
        return "price"
    return "instance_type" if re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+", cell) else None


def _is_zone(cell: str) -> bool:
    try:
        region_of_zone(cell)
    except ValueError:
        return False
    return True


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _columns(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The five columns that matter, under our names; the first known name wins (names of zones before ids)."""
    by_plain = {_plain(column): column for column in table.columns}
    chosen: dict[str, pl.Expr] = {}
    for ours, known in _NAMES.items():
        found = next((by_plain[name] for name in (_plain(ours), *known) if name in by_plain), None)
        if found is None:
            raise PriceFileInvalid(path.name, f"has no column for {ours}: one of {', '.join(known)}")
        keep = ours == "at" and isinstance(table.schema[found], pl.Datetime)
        chosen[ours] = pl.col(found) if keep else pl.col(found).cast(pl.String)
    ids = next((by_plain[name] for name in ("availabilityzoneid", "zoneid", "azid") if name in by_plain), None)
    chosen["file_zone_id"] = pl.lit(None, pl.String) if ids is None else pl.col(ids).cast(pl.String)
    return table.select(**chosen)


def _places(zones: list[str | None], zone_names: Mapping[str, str]) -> pl.DataFrame:
    """zone (as the file has it) → region, zone name, zone id; what is no zone is left out."""
    rows = []
    for zone in zones:
        if zone is None or not _is_zone(zone):
            continue
        name = zone_names.get(zone, usual_zone_name(zone)) if is_zone_id(zone) else zone
        rows.append((zone, region_of_zone(zone), name, zone if is_zone_id(zone) else usual_zone_id(zone)))
    return pl.DataFrame(
        rows, {"zone": pl.String, "region": pl.String, "name": pl.String, "zone_id": pl.String}, orient="row"
    )


def _instant(kind: pl.DataType) -> pl.Expr:
    """Instants in UTC; those without an offset are UTC already."""
    if isinstance(kind, pl.Datetime):
        column = pl.col("at")
        aware = column.dt.replace_time_zone("UTC") if kind.time_zone is None else column.dt.convert_time_zone("UTC")
        return aware.cast(frames.INSTANT)
    text = pl.col("at").str.strip_chars().str.replace(" UTC", "Z", literal=True).str.replace(" ", "T", literal=True)
    text = text.str.replace("Z$", "+00:00")
    text = pl.when(text.str.contains(r"[+-]\d\d:?\d\d$")).then(text).otherwise(text + "+00:00")
    parsed = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", strict=False)
    return parsed.dt.convert_time_zone("UTC")


def _refuse_rows(table: pl.DataFrame) -> None:
    """Raise for the first row with a field that cannot be meant."""
    checks = {
        "availability zone": pl.col("region").is_not_null(),
        "instance type": pl.col("instance_type").str.contains(r"^[a-z0-9-]+\.[a-z0-9-]+$").fill_null(value=False),
        "product": pl.col("product").is_in(PRODUCTS).fill_null(value=False),
        "timestamp": pl.col("at").is_not_null(),
        "price": pl.col("price_usd").is_not_null() & (pl.col("price_usd").is_nan() | (pl.col("price_usd") < _MOST_USD)),
    }
    for what, holds in checks.items():
        bad = table.with_row_index("row", offset=1).filter(~holds).head(1)
        if bad.height:
            raise PriceFileInvalid(f"row {bad['row'][0]}", f"has no valid {what}")
