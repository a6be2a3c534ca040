"""On-demand prices out of the Pricing API's GetProducts."""

import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

# The Pricing API answers only in us-east-1, eu-central-1 and ap-south-1.
PRICING_REGION = "us-east-1"
# Above this many types one listing of the whole region (about ten pages) is cheaper than a query per type.
_SINGLE_QUERIES = 12

# Spot's product descriptions → the operating systems that Pricing knows.
OPERATING_SYSTEMS = {
    "Linux/UNIX": "Linux",
    "Red Hat Enterprise Linux": "RHEL",
    "SUSE Linux": "SUSE",
    "Windows": "Windows",
}


def queries(region: str, instance_types: Sequence[str], product: str) -> Iterator[list[dict[str, str]]]:
    """The filters of the GetProducts calls that cover the types; none for a product Pricing does not know."""
    system = OPERATING_SYSTEMS.get(product)
    if system is None:
        return
    wanted = {
        "regionCode": region,
        "operatingSystem": system,
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "productFamily": "Compute Instance",
        "licenseModel": "No License required",
    }
    if len(instance_types) > _SINGLE_QUERIES:
        yield _filters(wanted)
        return
    for instance_type in instance_types:
        yield _filters({**wanted, "instanceType": instance_type})


def items(client: Any, filters: list[dict[str, str]]) -> list[dict[str, Any]]:
    """All products that match, decoded."""
    pages = client.get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=filters)
    return [json.loads(text) for page in pages for text in page["PriceList"]]


def prices(products: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Instance type → micro-USD per hour; zero prices, which mark what is not sold, are left out."""
    found: dict[str, int] = {}
    for product in products:
        instance_type = product.get("product", {}).get("attributes", {}).get("instanceType")
        price = max(_hourly(product), default=0)
        if instance_type and price > 0:
            found[instance_type] = max(price, found.get(instance_type, 0))
    return found


def _hourly(product: dict[str, Any]) -> Iterator[int]:
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            if dimension.get("unit", "Hrs") != "Hrs":
                continue
            try:
                usd = Decimal(dimension.get("pricePerUnit", {}).get("USD", "0"))
            except InvalidOperation:
                continue
            if usd.is_finite():
                yield int((usd * 1_000_000).to_integral_value())


def _filters(wanted: dict[str, str]) -> list[dict[str, str]]:
    return [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
