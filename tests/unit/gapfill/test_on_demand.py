"""On-demand prices are read out of Pricing's products; what is not sold, or not by the hour, is left out."""

from typing import Any

import pytest

from gapfill.on_demand import prices, queries


def product(instance_type: str, usd: str, unit: str = "Hrs") -> dict[str, Any]:
    dimension = {"unit": unit, "pricePerUnit": {"USD": usd}}
    return {
        "product": {"attributes": {"instanceType": instance_type}},
        "terms": {"OnDemand": {"SKU.TERM": {"priceDimensions": {"SKU.TERM.RATE": dimension}}}},
    }


def test_prices_are_exact_micro_usd() -> None:
    assert prices([product("m5.large", "0.0960000000"), product("t3.nano", "0.0052")]) == {
        "m5.large": 96_000,
        "t3.nano": 5_200,
    }


@pytest.mark.parametrize("usd", ["0.0000000000", "", "NaN", "Infinity", "-1"])
def test_what_is_no_price_is_left_out(usd: str) -> None:
    assert prices([product("m5.large", usd)]) == {}


def test_other_units_and_bare_products_are_left_out() -> None:
    assert prices([product("m5.large", "5", unit="Quantity"), {}, {"product": {"attributes": {}}}]) == {}


def test_each_type_is_asked_for_until_a_listing_is_cheaper() -> None:
    few = list(queries("eu-west-1", ["a", "b"], "Linux/UNIX"))
    assert [{f["Field"]: f["Value"] for f in one}["instanceType"] for one in few] == ["a", "b"]
    many = list(queries("eu-west-1", [f"t{i}" for i in range(50)], "Windows"))
    assert len(many) == 1
    fields = {f["Field"]: f["Value"] for f in many[0]}
    assert "instanceType" not in fields
    assert (fields["operatingSystem"], fields["preInstalledSw"], fields["regionCode"]) == ("Windows", "NA", "eu-west-1")
    assert list(queries("eu-west-1", ["a"], "BSD")) == []
