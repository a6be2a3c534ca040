"""Forced prices, faults and request counts over `/_market`, seen by real boto3 clients."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from gapfill.market.server import MarketOptions, build_source
from gapfill.market.simulate import SimulatedMarket
from gapfill.pools import LINUX
from tests.unit.market.market_clients import NOON, Market, SetClock, every_record, serving

POOL = {"region": "us-east-1", "zone": "us-east-1a", "instance_type": "m5.large"}
ASKED: dict[str, Any] = {"InstanceTypes": ["m5.large"], "ProductDescriptions": [LINUX]}


@pytest.fixture(scope="module")
def served() -> Iterator[Market]:
    with serving(SimulatedMarket(7, ["us-east-1", "eu-west-1"], ["m5.large"])) as market:
        yield market


@pytest.fixture
def market(served: Market) -> Iterator[Market]:
    """The module's market; afterwards its faults are off and its counts at zero."""
    yield served
    for path in ("faults", "requests"):
        httpx.delete(f"{served.address}/_market/{path}")


@pytest.fixture
def own_market() -> Iterator[Market]:
    """A market whose prices may be forced and whose clock may be moved."""
    with serving(SimulatedMarket(7, ["us-east-1"], ["m5.large"])) as market:
        yield market


def _post(market: Market, path: str, body: object) -> httpx.Response:
    return httpx.post(f"{market.address}/_market/{path}", json=body)


def _get(market: Market, path: str) -> Any:
    return httpx.get(f"{market.address}/_market/{path}").raise_for_status().json()


def _current(client: Any, zone: str = "us-east-1a") -> str:
    records = every_record(client, StartTime=NOON + timedelta(days=30), **ASKED)
    return str(next(record for record in records if _is_in(record, zone))["SpotPrice"])


def _is_in(record: dict[str, Any], zone: str) -> bool:
    return bool(record["AvailabilityZone"] == zone)


def _code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_identity_says_that_nothing_here_is_real(market: Market) -> None:
    said = _get(market, "identity")
    assert said["market_id"] == "sim:7"
    assert said["simulated"] is True
    assert said["seed"] == 7
    assert said["regions"] == ["eu-west-1", "us-east-1"]


def test_a_forced_price_holds_and_becomes_history(own_market: Market) -> None:
    ec2 = own_market.client("ec2")
    others = _current(ec2, "us-east-1b")
    natural = _current(ec2)
    answer = _post(own_market, "price", POOL | {"price_usd": 0.0777})
    assert answer.json() == {
        "pool_id": "us-east-1/us-east-1a/m5.large/Linux/UNIX",
        "at": "2026-03-04T12:00:00Z",
        "price_usd": 0.0777,
    }
    assert _current(ec2) == "0.077700"
    assert _current(ec2, "us-east-1b") == others
    own_market.clock.advance(timedelta(days=3))
    assert _current(ec2) == "0.077700"
    mine = [r for r in every_record(ec2, StartTime=NOON - timedelta(days=1), **ASKED) if _is_in(r, "us-east-1a")]
    assert NOON in {record["Timestamp"] for record in mine}
    assert {r["SpotPrice"] for r in mine if r["Timestamp"] >= NOON} == {"0.077700"}
    assert natural in {r["SpotPrice"] for r in mine if r["Timestamp"] < NOON}
    later = [r for r in every_record(ec2, StartTime=NOON + timedelta(hours=1), **ASKED) if _is_in(r, "us-east-1a")]
    assert later[-1]["Timestamp"] == NOON


def test_a_released_price_returns_to_its_own_path(own_market: Market) -> None:
    ec2 = own_market.client("ec2")
    _post(own_market, "price", POOL | {"price_usd": "0.05"})
    own_market.clock.advance(timedelta(hours=1))
    _post(own_market, "price", POOL | {"release": True})
    own_market.clock.advance(timedelta(days=2))
    with serving(SimulatedMarket(7, ["us-east-1"], ["m5.large"]), own_market.clock) as untouched:
        assert _current(ec2) == _current(untouched.client("ec2"))


def test_forced_prices_survive_a_restart(tmp_path: Path) -> None:
    clock = SetClock()
    options = MarketOptions(seed=4, regions=("us-east-1",), instance_types=("m5.large",), state=tmp_path)
    source, state = build_source(options, clock)
    with serving(source, clock, state) as market:
        _post(market, "price", POOL | {"zone": "use1-az1", "price_usd": 0.04})
    source, state = build_source(options, clock)
    with serving(source, clock, state) as market:
        assert _current(market.client("ec2")) == "0.040000"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (POOL, "price_usd"),
        (POOL | {"price_usd": -1}, "price_usd"),
        (POOL | {"price_usd": "NaN"}, "price_usd"),
        (POOL | {"price_usd": 1, "region": "us-west-2"}, "no region"),
        (POOL | {"price_usd": 1, "zone": "us-east-1z"}, "no pool"),
        ({"price_usd": 1}, "region is missing"),
        ([], "not a JSON object"),
    ],
)
def test_a_price_that_cannot_be_forced_says_why(market: Market, body: object, words: str) -> None:
    answer = _post(market, "price", body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("throttling", "RequestLimitExceeded", 503),
        ("server_error", "InternalError", 500),
        ("expired_token", "RequestExpired", 400),
        ("auth_failure", "AuthFailure", 401),
    ],
)
def test_a_fault_refuses_as_ec2_does_until_its_count_is_used_up(
    market: Market, kind: str, code: str, status: int
) -> None:
    ec2 = market.client("ec2")
    _post(market, "faults", {"kind": kind, "count": 2})
    for _ in range(2):
        with pytest.raises(ClientError) as refused:
            ec2.describe_regions()
        assert _code(refused) == code
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert ec2.describe_regions()["Regions"]
    assert _get(market, "faults") == {"faults": []}


def test_boto3_retries_what_passes(market: Market) -> None:
    _post(market, "faults", {"kind": "throttling", "count": 1})
    answer = market.client("ec2", attempts=3).describe_regions()
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
    assert _get(market, "requests")["actions"] == {"DescribeRegions": {"us-east-1": 2}}


def test_a_fault_strikes_only_its_region_and_action(market: Market) -> None:
    _post(market, "faults", {"kind": "auth_failure", "region": "eu-west-1", "action": "DescribeRegions"})
    assert market.client("ec2").describe_regions()["Regions"]
    europe = market.client("ec2", "eu-west-1")
    assert europe.describe_availability_zones()["AvailabilityZones"]
    with pytest.raises(ClientError, match="AuthFailure"):
        europe.describe_regions()
    httpx.delete(f"{market.address}/_market/faults", params={"kind": "auth_failure"})
    assert europe.describe_regions()["Regions"]


def test_chance_is_seeded(market: Market) -> None:
    ec2 = market.client("ec2")

    def run() -> list[bool]:
        httpx.delete(f"{market.address}/_market/faults")
        _post(market, "faults", {"kind": "throttling", "probability": 0.5, "seed": 3})
        struck = []
        for _ in range(12):
            try:
                ec2.describe_regions()
                struck.append(False)
            except ClientError:
                struck.append(True)
        return struck

    first = run()
    assert set(first) == {True, False}
    assert run() == first


def test_a_cut_off_answer_breaks_the_connection(market: Market) -> None:
    _post(market, "faults", {"kind": "cut_off", "cut_after_bytes": 300, "count": 1})
    ec2 = market.client("ec2")
    with pytest.raises(ResponseParserError):  # botocore does not notice the missing bytes, and does not retry
        ec2.describe_spot_price_history(StartTime=NOON - timedelta(days=3))
    assert ec2.describe_spot_price_history(StartTime=NOON)["SpotPriceHistory"]


def test_a_slow_answer_is_late_and_right(market: Market) -> None:
    _post(market, "faults", {"kind": "slow", "delay_s": 0.3, "count": 1})
    begun = time.monotonic()
    assert market.client("ec2").describe_regions()["Regions"]
    assert time.monotonic() - begun >= 0.3  # a lower bound: it holds on any machine


def test_duplicated_and_short_pages_lose_nothing(market: Market) -> None:
    ec2 = market.client("ec2")
    asked: dict[str, Any] = {"StartTime": NOON - timedelta(days=80)}
    plain = every_record(ec2, **asked)
    _post(market, "faults", {"kind": "duplicated_records"})
    _post(market, "faults", {"kind": "short_pages"})
    page = ec2.describe_spot_price_history(**asked)
    assert len(page["SpotPriceHistory"]) == 501
    assert page["NextToken"]
    doubled = every_record(ec2, **asked)
    assert len(doubled) > len(plain)
    assert [one for n, one in enumerate(doubled) if n == 0 or one != doubled[n - 1]] == plain


def test_pricing_words_faults_its_own_way(market: Market) -> None:
    _post(market, "faults", {"kind": "throttling", "action": "GetProducts", "count": 1})
    with pytest.raises(ClientError) as refused:
        market.client("pricing").get_products(ServiceCode="AmazonEC2")
    assert _code(refused) == "ThrottlingException"


@pytest.mark.parametrize(
    "body", [{"kind": "earthquake"}, {"kind": "slow", "colour": 1}, {"kind": "slow", "count": "x"}]
)
def test_a_fault_that_does_not_exist_is_refused(market: Market, body: object) -> None:
    assert _post(market, "faults", body).status_code == 400


def test_requests_are_counted_by_action_and_region_with_their_fields(market: Market) -> None:
    every_record(market.client("ec2"), StartTime=NOON, **ASKED)
    market.client("ec2", "eu-west-1").describe_availability_zones()
    said = _get(market, "requests?last=10")
    assert said["actions"] == {
        "DescribeAvailabilityZones": {"eu-west-1": 1},
        "DescribeSpotPriceHistory": {"us-east-1": 1},
    }
    assert said["last"][0]["fields"]["InstanceType.1"] == "m5.large"
    httpx.delete(f"{market.address}/_market/requests")
    assert _get(market, "requests")["actions"] == {}


def test_interruptions_are_listed_for_a_window(market: Market) -> None:
    start = (NOON - timedelta(days=60)).isoformat()
    answer = httpx.get(f"{market.address}/_market/interruptions", params={"region": "us-east-1", "start": start})
    found = answer.json()["interruptions"]
    assert found
    assert {one["instance_type"] for one in found} == {"m5.large"}
    assert all(one["at"] <= "2026-03-04T12:00:00Z" for one in found)
    wrong = httpx.get(f"{market.address}/_market/interruptions", params={"region": "us-east-1", "start": "soon"})
    assert wrong.status_code == 400


def test_a_request_without_a_signature_or_action_is_refused(market: Market) -> None:
    assert "MissingAuthenticationToken" in httpx.post(market.address, data={"Action": "DescribeRegions"}).text
    scope = "AWS4-HMAC-SHA256 Credential=x/20260304/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0"
    signed = {"Authorization": scope}
    assert "MissingAction" in httpx.post(market.address, data={"Version": "1"}, headers=signed).text
    assert "InvalidAction" in httpx.post(market.address, data={"Action": "RunInstances"}, headers=signed).text
