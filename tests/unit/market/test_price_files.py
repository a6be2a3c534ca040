"""Dumps of spot price history in every form that people have them, and what is refused."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from gapfill import frames
from gapfill.errors import PriceFileInvalid
from gapfill.price_files import read_price_file, read_raw_prices
from gapfill.zones import region_of_zone, usual_zone_id, usual_zone_name
from tests.unit.market.market_clients import REAL_DATA

HEADER = ["Timestamp", "AvailabilityZone", "InstanceType", "ProductDescription", "SpotPrice"]
ROWS = [
    ("2020-01-02T03:04:05+00:00", "us-east-1a", "m5.large", "Linux/UNIX", "0.035100"),
    ("2020-01-01T03:04:05+00:00", "us-east-1a", "m5.large", "Linux/UNIX", "0.035000"),
    ("2020-01-01T04:04:05+00:00", "ap-southeast-2b", "c6g.xlarge", "SUSE Linux", "0.120000"),
]
EXPECTED = [
    ("ap-southeast-2/ap-southeast-2b/c6g.xlarge/SUSE Linux", "apse2-az2", (2020, 1, 1, 4), 120_000),
    ("us-east-1/us-east-1a/m5.large/Linux/UNIX", "use1-az1", (2020, 1, 1, 3), 35_000),
    ("us-east-1/us-east-1a/m5.large/Linux/UNIX", "use1-az1", (2020, 1, 2, 3), 35_100),
]


def _expected() -> pl.DataFrame:
    rows = [(pool, zone, datetime(*day, 4, 5, tzinfo=UTC), price) for pool, zone, day, price in EXPECTED]
    return pl.DataFrame(rows, frames.PRICES, orient="row")


def _text(separator: str, rows: Sequence[tuple[str, ...]], header: list[str] | None = None) -> str:
    return "\n".join(separator.join(cells) for cells in [*([tuple(header)] if header else []), *rows]) + "\n"


def _with_ids() -> list[tuple[str, ...]]:
    return [(at, usual_zone_id(zone), *rest) for at, zone, *rest in ROWS]


def _write(folder: Path, kind: str) -> Path:
    path = folder / "dump"
    if kind == "csv":
        path.write_text(_text(",", ROWS, HEADER))
    elif kind == "tsv with ids":
        path.write_text(_text("\t", _with_ids(), ["timestamp", "az_id", "instance_type", "product", "price"]))
    elif kind == "tsv without header":
        path.write_text(_text("\t", [(z, t, p, usd, at) for at, z, t, p, usd in _with_ids()]))
    elif kind == "cli json":
        path.write_text(json.dumps({"SpotPriceHistory": [dict(zip(HEADER, row, strict=True)) for row in ROWS]}))
    elif kind == "parquet":
        frame = pl.DataFrame(ROWS, HEADER, orient="row")
        frame.with_columns(pl.col("Timestamp").str.to_datetime(time_zone="UTC")).write_parquet(path)
    elif kind == "naive csv with spaces":
        rows = [(at.replace("T", " ").removesuffix("+00:00"), *rest) for at, *rest in ROWS]
        path.write_text(_text(",", rows, HEADER))
    elif kind == "zulu and duplicates":
        rows = [(at.replace("+00:00", ".000Z"), *rest) for at, *rest in ROWS]
        path.write_text(_text(",", rows + rows, HEADER))
    elif kind == "classic product and offset":
        rows = [(at, z, t, f"{p} (Amazon VPC)", usd) for at, z, t, p, usd in ROWS]
        rows[0] = ("2020-01-02T05:04:05+02:00", *rows[0][1:])
        path.write_text(_text(",", rows, HEADER))
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "csv",
        "tsv with ids",
        "tsv without header",
        "cli json",
        "parquet",
        "naive csv with spaces",
        "zulu and duplicates",
        "classic product and offset",
    ],
)
def test_every_form_gives_the_same_points(tmp_path: Path, kind: str) -> None:
    found = read_price_file(_write(tmp_path, kind))
    assert found.points.equals(_expected())
    assert found.points.schema == frames.PRICES
    assert found.refused == 0


def test_an_accounts_own_zone_names_are_used_for_ids(tmp_path: Path) -> None:
    points = read_price_file(_write(tmp_path, "tsv with ids"), {"use1-az1": "us-east-1f"}).points
    assert "us-east-1/us-east-1f/m5.large/Linux/UNIX" in points["pool_id"].to_list()
    assert set(points["zone_id"]) == {"use1-az1", "apse2-az2"}


@pytest.mark.parametrize("price", ["0.000000", "0", "-0.1", "NaN", "nan"])
def test_what_is_no_price_is_counted_and_kept_out_but_stays_in_the_raw_records(tmp_path: Path, price: str) -> None:
    path = tmp_path / "dump"
    path.write_text(_text(",", [*ROWS, (*ROWS[2][:4], price)], HEADER))
    found = read_price_file(path)
    assert found.refused == 1
    assert found.points.equals(_expected())
    assert read_raw_prices(path).height == 4


@pytest.mark.parametrize(
    ("content", "where", "words"),
    [
        (b"", "dump", "is no Parquet"),
        (b"\x80\x04\x95\x00", "dump", "is no Parquet"),
        (b"PAR1 and no more", "dump", "parquet"),
        (b"{", "dump", "broken JSON"),
        (b'{"Prices": []}', "dump", "SpotPriceHistory"),
        (b"[1]", "row 1", "no object"),
        (b"a,b\n1,2\n", "dump", "no header"),
        (b"SpotPrice,InstanceType\n1,m5.large\n", "dump", "no column for zone"),
        (_text(",", [*ROWS, ("yesterday", *ROWS[0][1:])], HEADER).encode(), "row 4", "timestamp"),
        (_text(",", [(ROWS[0][0], "us-east", *ROWS[0][2:])], HEADER).encode(), "row 1", "availability zone"),
        (_text(",", [(*ROWS[0][:3], "BeOS", "1")], HEADER).encode(), "row 1", "product"),
        (_text(",", [(*ROWS[0][:2], "large", *ROWS[0][3:])], HEADER).encode(), "row 1", "instance type"),
        (_text(",", [ROWS[0], (*ROWS[1][:4], "cheap")], HEADER).encode(), "row 2", "price"),
        (_text(",", [(*ROWS[0][:4], "inf")], HEADER).encode(), "row 1", "price"),
    ],
)
def test_a_file_that_is_no_dump_says_where_and_why(tmp_path: Path, content: bytes, where: str, words: str) -> None:
    path = tmp_path / "dump"
    path.write_bytes(content)
    with pytest.raises(PriceFileInvalid) as refused:
        read_price_file(path)
    assert refused.value.where == where
    assert words in refused.value.detail


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PriceFileInvalid, match="cannot be read"):
        read_price_file(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("name", "zone_id"),
    [
        ("us-east-1f", "use1-az6"),
        ("us-gov-west-1a", "usgw1-az1"),
        ("ap-northeast-2c", "apne2-az3"),
        ("ca-central-1d", "cac1-az4"),
        ("me-south-1b", "mes1-az2"),
    ],
)
def test_zone_ids_follow_awss_rule(name: str, zone_id: str) -> None:
    assert usual_zone_id(name) == zone_id
    assert usual_zone_name(zone_id) == name
    assert region_of_zone(name) == region_of_zone(zone_id) == name[:-1]


def test_a_local_zone_has_a_region_and_no_usual_id() -> None:
    assert region_of_zone("us-west-2-lax-1a") == "us-west-2"
    assert usual_zone_id("us-west-2-lax-1a") == ""


@pytest.mark.parametrize("name", ["", "us-east-1", "use1", "m5.large", "use1-az", "US-EAST-1A"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not an availability zone"):
        region_of_zone(name)


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_DATA.exists(), reason="the real AWS data is not beside the checkout")
def test_the_real_file_has_two_zero_prices() -> None:
    path = REAL_DATA / "spot_history_sa-east-1_2020.parquet"
    found = read_price_file(path)
    assert found.refused == 2
    assert found.points.height == 399_302
    zero = read_raw_prices(path).filter(pl.col("price_usd") <= 0)
    assert sorted(zero["instance_type"]) == ["r5ad.16xlarge", "r5ad.24xlarge"]
