"""Spot price records from a page's XML, a hundred times faster than boto3's own parser, or not at all.

Strict: a page whose records are not all of the one plain form that its first record has is left to boto3.
"""

import re
from functools import lru_cache

import polars as pl

from gapfill.frames import PRICES
from gapfill.prices import PricePage

_SET = re.compile(rb"<spotPriceHistorySet>(.*)</spotPriceHistorySet>", re.DOTALL)
_ITEM = re.compile(rb"\s*<item>(.*?)</item>", re.DOTALL)
_FIELD = re.compile(rb"<([A-Za-z]+)>")
_REQUIRED = frozenset({b"instanceType", b"productDescription", b"spotPrice", b"timestamp", b"availabilityZone"})
_EMPTY_SET = b"<spotPriceHistorySet/>"

# Columns of a page as the API names its fields, all text.
RECORDS = pl.Schema(
    {
        "instanceType": pl.String(),
        "productDescription": pl.String(),
        "spotPrice": pl.String(),
        "timestamp": pl.String(),
        "availabilityZone": pl.String(),
        "availabilityZoneId": pl.String(),
    }
)


def decode(body: bytes) -> tuple[pl.DataFrame, bytes] | None:
    """(records as text (`RECORDS`), the page without them) or None when the page is not of the plain form."""
    found = _SET.search(body)
    if found is None:
        return None
    inner = found.group(1)
    first = _ITEM.match(inner)
    if first is None or b"&" in inner or b"<!" in inner:
        return None
    names = tuple(_FIELD.findall(first.group(1)))
    if len(set(names)) != len(names) or not _REQUIRED.issubset(names):
        return None
    rows = _pattern(names).findall(inner)
    # Each record matched, and nothing but records: a match takes one "<item>" and one "</item>", and no other tag.
    if len(rows) != inner.count(b"<item>") or inner.count(b"<") != len(rows) * 2 * (len(names) + 1):
        return None
    columns = dict(zip((name.decode() for name in names), zip(*rows, strict=True), strict=True))
    try:
        texts = {name: [value.decode() for value in columns[name]] for name in RECORDS if name in columns}
    except UnicodeDecodeError:
        return None
    texts.setdefault("availabilityZoneId", [""] * len(rows))
    return pl.DataFrame(texts, schema=RECORDS), body[: found.start()] + _EMPTY_SET + body[found.end() :]


@lru_cache(maxsize=32)
def _pattern(names: tuple[bytes, ...]) -> re.Pattern[bytes]:
    fields = rb"\s*".join(rb"<%b>([^<]*)</%b>" % (name, name) for name in names)
    return re.compile(rb"<item>\s*" + fields + rb"\s*</item>")


def to_page(region: str, records: pl.DataFrame, zone_ids: dict[str, str]) -> PricePage:
    """The records (`RECORDS`) of a region as price points; what is no price is in no row.

    Raises `polars.exceptions.PolarsError` on a time that is none.
    """
    product = pl.col("productDescription").str.strip_suffix(" (Amazon VPC)")
    price = pl.col("spotPrice").cast(pl.Float64(), strict=False)
    known_id = pl.col("availabilityZone").replace_strict(zone_ids, default="", return_dtype=pl.String())
    points = records.select(
        pl.concat_str(pl.lit(region), "availabilityZone", "instanceType", product, separator="/").alias("pool_id"),
        pl.when(pl.col("availabilityZoneId").fill_null("") != "")
        .then(pl.col("availabilityZoneId"))
        .otherwise(known_id)
        .alias("zone_id"),
        pl.col("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC").alias("at"),
        # Six decimals are what the API gives, so the rounding only undoes binary noise.
        pl.when(price.is_finite()).then(price * 1e6).round().cast(pl.Int64(), strict=False).alias("price_micro_usd"),
    )
    is_price = (pl.col("price_micro_usd") > 0).fill_null(value=False)
    return PricePage(points.filter(is_price).cast(PRICES), points.filter(~is_price)["at"].to_list())
