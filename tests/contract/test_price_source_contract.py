"""Every price source, held to the same checks: AWS's client against the market server, and the one in memory."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from gapfill import spot_xml
from gapfill.aws import AwsPriceSource
from gapfill.frames import INSTANCE_TYPES, ON_DEMAND, PRICES
from gapfill.market.server import build_app
from gapfill.market.simulate import SimulatedMarket
from gapfill.market.threaded import serve_in_thread
from gapfill.memory_source import MemoryPriceSource
from gapfill.pools import LINUX, Pool
from gapfill.price_checks import CHECKS, Check, Terrain
from gapfill.prices import PriceSource

TERRAIN = Terrain("eu-west-1", ("c5.large", "m5.large", "m5.xlarge"), (LINUX, "Windows"))


def in_memory() -> MemoryPriceSource:
    now = datetime.now(UTC).replace(microsecond=0)
    zones = {"eu-west-1a": "euw1-az1", "eu-west-1b": "euw1-az2"}
    points = [
        (Pool("eu-west-1", zone, t, product).pool_id, zone_id, now - timedelta(hours=h + len(t)), 10_000 + h)
        for zone, zone_id in zones.items()
        for t in TERRAIN.instance_types
        for product in TERRAIN.products
        for h in range(0, 200, 11)
    ]
    places = [(t, p) for t in TERRAIN.instance_types for p in TERRAIN.products]
    return MemoryPriceSource(
        pl.DataFrame(points, schema=PRICES, orient="row"),
        pl.DataFrame([("eu-west-1", t, p, now, 96_000) for t, p in places], schema=ON_DEMAND, orient="row"),
        pl.DataFrame([(t, 2, 8192, "x86_64", 0) for t in TERRAIN.instance_types], schema=INSTANCE_TYPES, orient="row"),
        page_size=7,
    )


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsPriceSource]:
    market = SimulatedMarket(7, ("eu-west-1", "us-east-1"), TERRAIN.instance_types)
    with serve_in_thread(build_app(market)) as address, pytest.MonkeyPatch.context() as patch:
        for name in ("EC2", "PRICING", "STS"):
            patch.setenv(f"AWS_ENDPOINT_URL_{name}", address)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield AwsPriceSource()


@pytest.fixture(params=["aws", "memory"])
def source(request: pytest.FixtureRequest) -> PriceSource:
    if request.param == "memory":
        return in_memory()
    client: PriceSource = request.getfixturevalue("aws")
    return client


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_price_source(check: Check, source: PriceSource) -> None:
    check(source, TERRAIN)


def test_the_fast_path_reads_the_market_as_boto3_does(aws: AwsPriceSource) -> None:
    end = datetime.now(UTC).replace(microsecond=0)
    ask = (TERRAIN.region, TERRAIN.instance_types, TERRAIN.products, end - timedelta(days=60), end)
    fast = [page.points for page in aws.spot_pages(*ask)]
    plain = AwsPriceSource(early=False)
    slow = [page.points for page in plain.spot_pages(*ask)]
    assert len(fast) == len(slow) > 1
    assert all(one.equals(two) for one, two in zip(fast, slow, strict=True))
    bodies: list[bytes] = []
    client = plain.client("ec2", TERRAIN.region)
    client.meta.events.register("before-parse", lambda response_dict, **_: bodies.append(response_dict["body"]))
    list(plain.spot_pages(*ask))
    assert [spot_xml.decode(body) is not None for body in bodies] == [True] * len(fast)
