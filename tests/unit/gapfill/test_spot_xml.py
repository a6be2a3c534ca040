"""The fast path reads a page as boto3's own parser does, or leaves it to boto3."""

from datetime import UTC, datetime

import botocore.parsers
import botocore.session
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapfill import spot_xml
from gapfill.aws import records_of

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<DescribeSpotPriceHistoryResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">\n'
    "<requestId>59dbff89</requestId>"
)
SHAPE = botocore.session.get_session().get_service_model("ec2").operation_model("DescribeSpotPriceHistory").output_shape


def item(price: str = "0.035", zone: str = "us-east-1a", at: str = "2026-01-05T10:11:12.000Z", extra: str = "") -> str:
    return (
        f"<item><instanceType>m5.large</instanceType><productDescription>Linux/UNIX</productDescription>"
        f"<spotPrice>{price}</spotPrice><timestamp>{at}</timestamp>\n"
        f"<availabilityZone>{zone}</availabilityZone>{extra}</item>"
    )


def page(*items: str, token: str = "next") -> bytes:
    inner = "\n  ".join(items)
    return (
        f"{HEAD}<spotPriceHistorySet>\n  {inner}\n</spotPriceHistorySet>"
        f"<nextToken>{token}</nextToken></DescribeSpotPriceHistoryResponse>"
    ).encode()


def by_boto(body: bytes) -> pl.DataFrame:
    parsed = botocore.parsers.EC2QueryParser().parse({"status_code": 200, "headers": {}, "body": body}, SHAPE)
    return records_of(parsed)


def as_points(records: pl.DataFrame) -> pl.DataFrame:
    return spot_xml.to_page("us-east-1", records, {"us-east-1a": "use1-az1"}).points


@given(
    st.lists(
        st.tuples(
            st.decimals("0.0001", "99.999999", places=6),
            st.sampled_from("abcdef"),
            st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
        ),
        min_size=1,
        max_size=40,
    )
)
def test_it_reads_what_boto3_reads(rows: list[tuple[object, str, datetime]]) -> None:
    body = page(*(item(str(price), f"us-east-1{zone}", f"{at:%Y-%m-%dT%H:%M:%S}.000Z") for price, zone, at in rows))
    decoded = spot_xml.decode(body)
    assert decoded is not None
    assert as_points(decoded[0]).equals(as_points(by_boto(body)))
    assert decoded[0].height == len(rows)


def test_what_is_left_holds_the_token_and_no_record() -> None:
    decoded = spot_xml.decode(page(item(), item()))
    assert decoded is not None
    parsed = botocore.parsers.EC2QueryParser().parse({"status_code": 200, "headers": {}, "body": decoded[1]}, SHAPE)
    assert parsed["NextToken"] == "next"
    assert parsed["SpotPriceHistory"] == []


@pytest.mark.parametrize(
    "body",
    [
        page(),
        page(item(), item(extra="<availabilityZoneId>use1-az1</availabilityZoneId>")),
        page(item(extra="<availabilityZone>us-east-1b</availabilityZone>")),
        page(item(zone="us&amp;east")),
        page(item(), "<!-- odd -->"),
        page(item(), "<note>odd</note>"),
        page(item(extra="<tagSet><item><key>k</key></item></tagSet>")),
        page(item()).replace(b"</spotPriceHistorySet>", b""),
        page(item()).replace(b"<spotPrice>0.035</spotPrice>", b""),
        page(item(), item())[:-300],
        b"",
        b"<html>not ours</html>",
    ],
)
def test_any_other_form_is_left_to_boto3(body: bytes) -> None:
    assert spot_xml.decode(body) is None


def test_zone_ids_come_from_the_page_or_else_from_the_region() -> None:
    named = spot_xml.decode(page(item(extra="<availabilityZoneId>use1-az4</availabilityZoneId>")))
    plain = spot_xml.decode(page(item(), item(zone="us-east-1z")))
    assert named is not None
    assert plain is not None
    assert as_points(named[0])["zone_id"].to_list() == ["use1-az4"]
    assert as_points(plain[0])["zone_id"].to_list() == ["use1-az1", ""]


def test_what_is_no_price_is_counted_not_kept() -> None:
    bad = ("0.000000", "-0.1", "NaN", "inf", "", "free", "0.0000001")
    decoded = spot_xml.decode(page(item("0.123456"), *(item(price) for price in bad)))
    assert decoded is not None
    result = spot_xml.to_page("us-east-1", decoded[0], {})
    assert len(result.refused) == len(bad)
    assert result.points.row(0) == (
        "us-east-1/us-east-1a/m5.large/Linux/UNIX",
        "",
        datetime(2026, 1, 5, 10, 11, 12, tzinfo=UTC),
        123456,
    )
    assert result.points.height == 1


def test_vpc_products_are_the_plain_ones() -> None:
    decoded = spot_xml.decode(page(item().replace("Linux/UNIX", "Linux/UNIX (Amazon VPC)")))
    assert decoded is not None
    assert as_points(decoded[0])["pool_id"].to_list() == ["us-east-1/us-east-1a/m5.large/Linux/UNIX"]
