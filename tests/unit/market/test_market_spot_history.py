"""DescribeSpotPriceHistory as boto3 meets it: pages, carry-in, current prices, retention, filters, empty answers."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from gapfill.market.simulate import SimulatedMarket
from tests.unit.market.market_clients import NOON, Market, every_record, serving

LINUX = "Linux/UNIX"


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    source = SimulatedMarket(7, ["us-east-1", "sa-east-1"], ["m5.large", "m5.xlarge", "c5.large", "c6g.large"])
    with serving(source) as served:
        yield served


@pytest.fixture(scope="module")
def ec2(market: Market) -> Any:
    return market.client("ec2")


def _pool(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["AvailabilityZone"], record["InstanceType"], record["ProductDescription"]


def test_pages_are_chained_newest_first_and_the_last_token_is_empty(ec2: Any) -> None:
    asked: dict[str, Any] = {"StartTime": NOON - timedelta(days=60), "ProductDescriptions": [LINUX]}
    pages = []
    token = ""
    while True:
        page = ec2.describe_spot_price_history(**asked, **({"NextToken": token} if token else {}))
        pages.append(page)
        token = page["NextToken"]
        if not token:
            break
    assert token == ""
    assert len(pages) > 2
    assert {len(page["SpotPriceHistory"]) for page in pages[:-1]} == {1000}
    records = [record for page in pages for record in page["SpotPriceHistory"]]
    times = [record["Timestamp"] for record in records]
    assert times == sorted(times, reverse=True)
    assert len({(_pool(record), record["Timestamp"]) for record in records}) == len(records)


def test_small_pages_hold_the_same_records(ec2: Any) -> None:
    asked = {"StartTime": NOON - timedelta(days=3), "InstanceTypes": ["m5.large"], "ProductDescriptions": [LINUX]}
    whole = every_record(ec2, **asked)
    assert len(whole) > 20
    assert every_record(ec2, **asked, PaginationConfig={"PageSize": 7}) == whole


def test_each_pool_has_exactly_one_record_before_the_start(ec2: Any) -> None:
    start = NOON - timedelta(days=5)
    before: dict[tuple[str, str, str], list[datetime]] = defaultdict(list)
    records = every_record(ec2, StartTime=start, EndTime=NOON - timedelta(days=4))
    for record in records:
        if record["Timestamp"] < start:
            before[_pool(record)].append(record["Timestamp"])
    assert set(before) == {_pool(record) for record in records}
    assert {len(times) for times in before.values()} == {1}
    assert max(start - times[0] for times in before.values()) < timedelta(hours=49)


def test_the_carry_in_comes_also_when_a_record_stands_at_the_start(ec2: Any) -> None:
    asked: dict[str, Any] = {"InstanceTypes": ["m5.large"], "ProductDescriptions": [LINUX]}
    asked["AvailabilityZone"] = "us-east-1a"
    known = every_record(ec2, StartTime=NOON - timedelta(days=9), **asked)
    newer, older = known[2], known[3]
    assert every_record(ec2, StartTime=newer["Timestamp"], EndTime=newer["Timestamp"], **asked) == [newer, older]


def test_a_start_at_now_returns_the_current_price_of_each_pool(ec2: Any) -> None:
    current = {_pool(record): record for record in every_record(ec2, StartTime=NOON)}
    assert len(current) == 6 * (3 * 4 + 3)  # no Windows on arm64
    newest: dict[tuple[str, str, str], dict[str, Any]] = {}
    for record in every_record(ec2, StartTime=NOON - timedelta(days=4)):
        newest.setdefault(_pool(record), record)
    assert current == newest


def test_nothing_is_older_than_ninety_days(ec2: Any) -> None:
    records = every_record(ec2, StartTime=NOON - timedelta(days=400), InstanceTypes=["c5.large"])
    oldest = min(record["Timestamp"] for record in records)
    assert NOON - timedelta(days=90) <= oldest < NOON - timedelta(days=89)
    assert every_record(ec2, InstanceTypes=["c5.large"]) == records


def test_an_end_in_the_future_is_now(ec2: Any) -> None:
    asked: dict[str, Any] = {"StartTime": NOON - timedelta(days=1), "InstanceTypes": ["c5.large"]}
    assert every_record(ec2, EndTime=NOON + timedelta(days=30), **asked) == every_record(ec2, **asked)


def test_prices_have_six_decimals_of_which_four_count(ec2: Any) -> None:
    for record in every_record(ec2, StartTime=NOON - timedelta(days=7), InstanceTypes=["m5.large"]):
        price = Decimal(record["SpotPrice"])
        assert price.as_tuple().exponent == -6
        assert 0 < price == price.quantize(Decimal("0.0001"))


def test_what_a_region_does_not_offer_is_an_empty_list(ec2: Any) -> None:
    answer = ec2.describe_spot_price_history(StartTime=NOON, InstanceTypes=["p4d.24xlarge"])
    assert answer["SpotPriceHistory"] == []
    assert answer["NextToken"] == ""
    assert (
        ec2.describe_spot_price_history(InstanceTypes=["c6g.large"], ProductDescriptions=["Windows"])[
            "SpotPriceHistory"
        ]
        == []
    )


@pytest.mark.parametrize(
    "asked",
    [
        {"AvailabilityZone": "us-east-1b"},
        {"AvailabilityZoneId": "use1-az2"},
        {"Filters": [{"Name": "availability-zone", "Values": ["*-1b"]}]},
    ],
)
def test_zones_are_filtered_by_name_id_or_pattern(ec2: Any, asked: dict[str, Any]) -> None:
    records = every_record(ec2, StartTime=NOON, **asked)
    assert {(record["AvailabilityZone"], record["AvailabilityZoneId"]) for record in records} == {
        ("us-east-1b", "use1-az2")
    }


def test_filters_narrow_types_products_and_prices(ec2: Any) -> None:
    filters = [
        {"Name": "instance-type", "Values": ["m5.*"]},
        {"Name": "product-description", "Values": [LINUX, "Windows"]},
    ]
    records = every_record(ec2, StartTime=NOON - timedelta(days=2), Filters=filters)
    assert {record["InstanceType"] for record in records} == {"m5.large", "m5.xlarge"}
    assert {record["ProductDescription"] for record in records} == {LINUX, "Windows"}
    price = records[0]["SpotPrice"]
    same = every_record(
        ec2, StartTime=NOON - timedelta(days=2), Filters=[*filters, {"Name": "spot-price", "Values": [price]}]
    )
    assert same == [record for record in records if record["SpotPrice"] == price]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"Filters": [{"Name": "colour", "Values": ["red"]}]}, "InvalidParameterValue"),
        ({"NextToken": "nonsense"}, "InvalidNextToken"),
        ({"MaxResults": -1}, "InvalidParameterValue"),
    ],
)
def test_wrong_parameters_are_refused_by_code(ec2: Any, asked: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        ec2.describe_spot_price_history(**asked)
    assert refused.value.response["Error"]["Code"] == code


def test_a_region_that_is_not_enabled_answers_auth_failure(market: Market) -> None:
    with pytest.raises(ClientError) as refused:
        market.client("ec2", "eu-west-1").describe_spot_price_history()
    assert refused.value.response["Error"]["Code"] == "AuthFailure"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 401


def test_time_brings_new_records_and_changes_no_old_one() -> None:
    with serving(SimulatedMarket(7, ["us-east-1"], ["m5.large"])) as market:
        ec2 = market.client("ec2")
        then = every_record(ec2, StartTime=NOON - timedelta(days=5))
        market.clock.advance(timedelta(days=2))
        now = every_record(ec2, StartTime=NOON - timedelta(days=5))
    assert len(now) > len(then)
    assert now[len(now) - len(then) :] == then
