"""Pricing's GetProducts: on-demand prices as the AWS Price List Service words them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gapfill.market.catalogue import REGIONS, InstanceKind
from gapfill.market.hashing import key_of
from gapfill.market.source import MarketSource
from gapfill.market.wire import AwsError
from gapfill.pools import PRODUCTS

HOMES = frozenset({"us-east-1", "eu-central-1", "ap-south-1"})
_PAGE = 100
# Product of the spot history → (operatingSystem, operation) of the price list.
_SYSTEMS = {
    PRODUCTS[0]: ("Linux", "RunInstances"),
    PRODUCTS[1]: ("RHEL", "RunInstances:0010"),
    PRODUCTS[2]: ("SUSE", "RunInstances:000g"),
    PRODUCTS[3]: ("Windows", "RunInstances:0002"),
}
_STATUSES = {
    "Used": "BoxUsage",
    "AllocatedCapacityReservation": "Reservation",
    "UnusedCapacityReservation": "UnusedBox",
}


@dataclass(frozen=True, slots=True)
class _Filter:
    kind: str
    field: str
    value: str

    def passes(self, text: str | None) -> bool:
        """Whether an attribute's value is let through."""
        values = [value.strip() for value in self.value.split(",")]
        if text is None:
            return self.kind == "NONE_OF"
        if self.kind == "ANY_OF":
            return text in values
        if self.kind == "NONE_OF":
            return text not in values
        if self.kind == "CONTAINS":
            return self.value in text
        return text == self.value


def get_products(source: MarketSource, body: bytes) -> dict[str, object]:
    """The JSON answer to a GetProducts body; raises AwsError for what the service would refuse."""
    request = _request(body)
    filters = _filters(request.get("Filters"))
    size, at = _size(request.get("MaxResults")), _offset(request.get("NextToken"))
    found: list[str] = []
    following: str | None = None
    for number, (attributes, price) in enumerate(_matching(source, filters)):
        if number < at:
            continue
        if len(found) == size:
            following = str(number)
            break
        found.append(json.dumps(_item(attributes, price)))
    answer: dict[str, object] = {"FormatVersion": "aws_v1", "PriceList": found}
    return answer | ({"NextToken": following} if following else {})


def _request(body: bytes) -> dict[str, object]:
    try:
        request = json.loads(body)
    except ValueError as error:
        raise AwsError("SerializationException", "The body is not JSON") from error
    if not isinstance(request, dict) or request.get("ServiceCode") != "AmazonEC2":
        raise AwsError("InvalidParameterException", "This market has the ServiceCode AmazonEC2 only")
    return request


def _filters(given: object) -> tuple[_Filter, ...]:
    if given is None:
        return ()
    try:
        return tuple(_Filter(one["Type"], one["Field"], one["Value"]) for one in given)  # type: ignore[attr-defined]
    except (KeyError, TypeError) as error:
        raise AwsError("InvalidParameterException", "A filter needs Type, Field and Value") from error


def _size(given: object) -> int:
    if given is None:
        return _PAGE
    if not isinstance(given, int) or not 1 <= given <= _PAGE:
        raise AwsError("InvalidParameterException", f"MaxResults must be within 1 and {_PAGE}")
    return given


def _offset(given: object) -> int:
    if not given:
        return 0
    if not isinstance(given, str) or not given.isdigit():
        raise AwsError("InvalidNextTokenException", "The NextToken is invalid")
    return int(given)


def _matching(source: MarketSource, filters: Sequence[_Filter]) -> Iterator[tuple[dict[str, str], int]]:
    """(attributes, micro-USD) of every product that passes; cheap filters are applied before anything is built."""
    for region in _kept(filters, "regionCode", source.regions()):
        kinds = source.kinds(region)
        for name in _kept(filters, "instanceType", kinds):
            for product in source.products(region, name):
                price = source.on_demand(region, name, product)
                if price is None:
                    continue
                for status in _STATUSES:
                    attributes = _attributes(region, kinds[name], product, status)
                    if all(one.passes(attributes.get(one.field)) for one in filters):
                        yield attributes, price if status != "AllocatedCapacityReservation" else 0


def _kept(filters: Sequence[_Filter], field: str, values: Sequence[str] | Mapping[str, object]) -> list[str]:
    mine = [one for one in filters if one.field == field]
    return [value for value in values if all(one.passes(value) for one in mine)]


def _attributes(region: str, kind: InstanceKind, product: str, status: str) -> dict[str, str]:
    system, operation = _SYSTEMS[product]
    attributes = {
        "productFamily": "Compute Instance (bare metal)" if kind.size == "metal" else "Compute Instance",
        "servicecode": "AmazonEC2",
        "servicename": "Amazon Elastic Compute Cloud",
        "regionCode": region,
        "location": REGIONS[region][2] if region in REGIONS else region,
        "locationType": "AWS Region",
        "instanceType": kind.name,
        "currentGeneration": "Yes" if kind.current_generation else "No",
        "vcpu": str(kind.vcpu),
        "memory": f"{kind.memory_mib / 1024:g} GiB",
        "tenancy": "Shared",
        "operatingSystem": system,
        "licenseModel": "No License required",
        "preInstalledSw": "NA",
        "capacitystatus": status,
        "operation": operation,
        "usagetype": f"{_STATUSES[status]}:{kind.name}",
        "marketoption": "OnDemand",
    }
    return attributes | ({"gpu": str(kind.gpus)} if kind.gpus else {})


def _item(attributes: dict[str, str], price: int) -> dict[str, object]:
    sku = f"{key_of('/'.join(attributes.values())):016X}"
    offer, rate = f"{sku}.JRTCKXETXF", f"{sku}.JRTCKXETXF.6YS6EN2CT7"
    usd = f"{price // 1_000_000}.{price % 1_000_000:06d}0000"
    described = f"${usd} per On Demand {attributes['operatingSystem']} {attributes['instanceType']} Instance Hour"
    dimension = {
        "rateCode": rate,
        "unit": "Hrs",
        "beginRange": "0",
        "endRange": "Inf",
        "description": described,
        "appliesTo": [],
        "pricePerUnit": {"USD": usd},
    }
    term = {
        "sku": sku,
        "offerTermCode": "JRTCKXETXF",
        "effectiveDate": "2026-01-01T00:00:00Z",
        "termAttributes": {},
        "priceDimensions": {rate: dimension},
    }
    family = attributes["productFamily"]
    shown = {name: value for name, value in attributes.items() if name != "productFamily"}
    return {
        "product": {"sku": sku, "productFamily": family, "attributes": shown},
        "serviceCode": "AmazonEC2",
        "terms": {"OnDemand": {offer: term}},
        "version": "20260101000000",
        "publicationDate": "2026-01-01T00:00:00Z",
    }
