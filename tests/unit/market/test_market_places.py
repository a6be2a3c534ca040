"""Regions, zones, types, offerings, on-demand prices and the caller's identity, through boto3."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from gapfill.market.simulate import SimulatedMarket
from tests.unit.market.market_clients import Market, serving

TYPES = ["m5.large", "c6g.xlarge", "g4dn.12xlarge", "t3.micro", "m5.metal", "c5.large"]


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    with serving(SimulatedMarket(7, ["us-east-1", "eu-west-1"], TYPES)) as served:
        yield served


@pytest.fixture(scope="module")
def ec2(market: Market) -> Any:
    return market.client("ec2")


def _plain_linux(**more: str) -> list[dict[str, str]]:
    wanted = {
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "productFamily": "Compute Instance",
    } | more
    return [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]


def _usd(item: dict[str, Any]) -> Decimal:
    (term,) = item["terms"]["OnDemand"].values()
    (dimension,) = term["priceDimensions"].values()
    return Decimal(dimension["pricePerUnit"]["USD"])


def test_regions_are_listed_and_filtered(ec2: Any) -> None:
    assert [region["RegionName"] for region in ec2.describe_regions()["Regions"]] == ["eu-west-1", "us-east-1"]
    named = ec2.describe_regions(Filters=[{"Name": "region-name", "Values": ["eu-*"]}])["Regions"]
    assert [region["Endpoint"] for region in named] == ["ec2.eu-west-1.amazonaws.com"]


def test_zones_have_names_and_ids(market: Market) -> None:
    zones = market.client("ec2", "eu-west-1").describe_availability_zones()["AvailabilityZones"]
    assert {zone["ZoneName"]: zone["ZoneId"] for zone in zones} == {
        "eu-west-1a": "euw1-az1",
        "eu-west-1b": "euw1-az2",
        "eu-west-1c": "euw1-az3",
    }
    assert {zone["State"] for zone in zones} == {"available"}


def test_types_say_what_they_are_made_of(ec2: Any) -> None:
    kinds = {kind["InstanceType"]: kind for kind in ec2.describe_instance_types()["InstanceTypes"]}
    assert set(kinds) == set(TYPES)
    assert kinds["m5.large"]["VCpuInfo"]["DefaultVCpus"] == 2
    assert kinds["m5.large"]["MemoryInfo"]["SizeInMiB"] == 8192
    assert kinds["c6g.xlarge"]["ProcessorInfo"]["SupportedArchitectures"] == ["arm64"]
    assert kinds["g4dn.12xlarge"]["GpuInfo"]["Gpus"][0]["Count"] == 4
    assert kinds["m5.metal"]["BareMetal"] is True
    assert "GpuInfo" not in kinds["t3.micro"]


def test_types_come_in_pages(ec2: Any) -> None:
    pages = list(ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["InstanceTypes"]) for page in pages] == [5, 1]


def test_an_unknown_type_is_refused_by_describe_instance_types(ec2: Any) -> None:
    with pytest.raises(ClientError, match="InvalidInstanceType"):
        ec2.describe_instance_types(InstanceTypes=["m5.large", "m5.nosuch"])


@pytest.mark.parametrize(
    ("location_type", "location"),
    [("region", "us-east-1"), ("availability-zone", "us-east-1a"), ("availability-zone-id", "use1-az1")],
)
def test_offerings_by_each_kind_of_location(ec2: Any, location_type: str, location: str) -> None:
    filters = [{"Name": "location", "Values": [location]}, {"Name": "instance-type", "Values": ["m5.large"]}]
    found = ec2.describe_instance_type_offerings(LocationType=location_type, Filters=filters)["InstanceTypeOfferings"]
    assert found == [{"InstanceType": "m5.large", "LocationType": location_type, "Location": location}]


def test_plain_linux_has_one_price_per_type_and_region(market: Market) -> None:
    pricing = market.client("pricing")
    filters = _plain_linux(regionCode="us-east-1", instanceType="m5.large")
    (text,) = pricing.get_products(ServiceCode="AmazonEC2", Filters=filters)["PriceList"]
    item = json.loads(text)
    assert _usd(item) == Decimal("0.096")
    assert item["product"]["attributes"]["regionCode"] == "us-east-1"
    assert item["product"]["productFamily"] == "Compute Instance"


def test_prices_are_paged_and_any_of_takes_several_values(market: Market) -> None:
    pricing = market.client("pricing")
    filters = [
        *_plain_linux(regionCode="eu-west-1"),
        {"Type": "ANY_OF", "Field": "instanceType", "Value": "m5.large,c6g.xlarge,t3.micro"},
    ]
    pages = list(
        pricing.get_paginator("get_products").paginate(
            ServiceCode="AmazonEC2", Filters=filters, PaginationConfig={"PageSize": 2}
        )
    )
    assert [len(page["PriceList"]) for page in pages] == [2, 1]
    found = [json.loads(text)["product"]["attributes"]["instanceType"] for page in pages for text in page["PriceList"]]
    assert sorted(found) == ["c6g.xlarge", "m5.large", "t3.micro"]


def test_without_filters_there_are_reservations_at_zero_and_other_systems(market: Market) -> None:
    pages = market.client("pricing").get_paginator("get_products").paginate(ServiceCode="AmazonEC2")
    items = [json.loads(text) for page in pages for text in page["PriceList"]]
    assert {_usd(item) == 0 for item in items} == {True, False}
    systems = {item["product"]["attributes"]["operatingSystem"] for item in items}
    assert systems == {"Linux", "RHEL", "SUSE", "Windows"}
    assert len({item["product"]["sku"] for item in items}) == len(items)


def test_pricing_answers_only_at_its_homes(market: Market) -> None:
    with pytest.raises(ClientError, match="does not answer in eu-west-1"):
        market.client("pricing", "eu-west-1").get_products(ServiceCode="AmazonEC2")


def test_the_caller_is_someone(market: Market) -> None:
    assert market.client("sts").get_caller_identity()["Account"] == "000000000000"
