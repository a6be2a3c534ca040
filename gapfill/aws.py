"""AWS as a price source: boto3 with adaptive retries, one client per region, pages decoded on the fast path."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

import boto3
import polars as pl
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from gapfill import on_demand, spot_xml
from gapfill.aws_errors import translate
from gapfill.aws_identity import market_id_of
from gapfill.frames import INSTANCE_TYPES, ON_DEMAND, PRICES
from gapfill.prices import PricePage

_P = ParamSpec("_P")
_T = TypeVar("_T")
# What regions, zones and offerings change is a matter of weeks.
_FACTS_KEPT_S = 3600.0
# DescribeInstanceTypes takes at most 200 values per filter; long lists also make long requests.
_TYPES_PER_CALL = 100
_RECORDS = "SpotPriceRecords"


@dataclass(frozen=True, slots=True)
class AwsLimits:
    """How patient the client is: seconds for connecting and reading, attempts per call (the first included)."""

    connect_s: float = 5.0
    read_s: float = 30.0
    attempts: int = 8
    connections: int = 16


class AwsPriceSource:
    """`PriceSource` over the EC2 and Pricing APIs; endpoints and credentials come from AWS's own variables."""

    def __init__(
        self,
        home_region: str = "us-east-1",
        limits: AwsLimits | None = None,
        session: boto3.Session | None = None,
        early: bool = True,
    ) -> None:
        """`home_region` answers DescribeRegions and is expected to be enabled; no call is made yet.

        Without `early` price pages are left to boto3's own parser.
        """
        self._home = home_region
        self._limits = limits or AwsLimits()
        self._session = session or boto3.Session()
        self._early = early
        self._clients: dict[tuple[str, str], Any] = {}
        self._facts: dict[tuple[str, str], tuple[float, Any]] = {}
        self._market_id: str | None = None
        self._lock = threading.Lock()

    @property
    def market_id(self) -> str:
        """See `PriceSource`."""
        if self._market_id is None:
            self._market_id = market_id_of(self._account)
        return self._market_id

    def regions(self) -> tuple[str, ...]:
        """See `PriceSource`."""

        def ask() -> tuple[str, ...]:
            return tuple(sorted(r["RegionName"] for r in self._ec2(self._home).describe_regions()["Regions"]))

        return self._fact(self._home, "regions", ask)

    def zones(self, region: str) -> dict[str, str]:
        """See `PriceSource`."""

        def ask() -> dict[str, str]:
            zones = self._ec2(region).describe_availability_zones()["AvailabilityZones"]
            return {z["ZoneName"]: z.get("ZoneId", "") for z in zones}

        return dict(self._fact(region, "zones", ask))

    def offerings(self, region: str) -> frozenset[str]:
        """See `PriceSource`."""

        def ask() -> frozenset[str]:
            pages = self._ec2(region).get_paginator("describe_instance_type_offerings").paginate(LocationType="region")
            return frozenset(o["InstanceType"] for page in pages for o in page["InstanceTypeOfferings"])

        return self._fact(region, "offerings", ask)

    def instance_types(self, region: str, instance_types: Sequence[str]) -> pl.DataFrame:
        """See `PriceSource`."""

        def ask(names: list[str]) -> list[dict[str, Any]]:
            paginator = self._ec2(region).get_paginator("describe_instance_types")
            pages = paginator.paginate(Filters=[{"Name": "instance-type", "Values": names}])
            return [one for page in pages for one in page["InstanceTypes"]]

        rows = [_type_row(one) for names in _chunks(instance_types) for one in self._call(region, ask, names)]
        return pl.DataFrame(rows, schema=INSTANCE_TYPES, orient="row").sort("instance_type")

    def spot_pages(
        self, region: str, instance_types: Sequence[str], products: Sequence[str], start: datetime, end: datetime
    ) -> Iterator[PricePage]:
        """See `PriceSource`."""
        zone_ids = self.zones(region)
        client = self._ec2(region)
        for names in _chunks(instance_types) if products else ():
            query: dict[str, Any] = {
                "InstanceTypes": names,
                "ProductDescriptions": list(products),
                "StartTime": start.astimezone(UTC),
                "EndTime": end.astimezone(UTC),
                "MaxResults": 1000,
            }
            token = None
            while token != "":
                asked = query if token is None else {**query, "NextToken": token}
                answer = self._call(region, client.describe_spot_price_history, **asked)
                yield spot_xml.to_page(region, records_of(answer), zone_ids)
                token = answer.get("NextToken") or ""

    def current(self, region: str, instance_types: Sequence[str], products: Sequence[str]) -> pl.DataFrame:
        """See `PriceSource`."""
        now = datetime.now(UTC)
        pages = [page.points for page in self.spot_pages(region, instance_types, products, now, now)]
        points = pl.concat(pages) if pages else pl.DataFrame(schema=PRICES)
        return points.sort("at").unique("pool_id", keep="last").sort("pool_id")

    def on_demand(self, region: str, instance_types: Sequence[str], products: Sequence[str]) -> pl.DataFrame:
        """See `PriceSource`."""
        client = self.client("pricing", on_demand.PRICING_REGION)
        now = datetime.now(UTC)
        rows: list[tuple[str, str, str, datetime, int]] = []
        for product in products:
            for filters in on_demand.queries(region, instance_types, product):
                items = self._call(region, on_demand.items, client, filters)
                prices = on_demand.prices(items)
                rows += [(region, t, product, now, price) for t, price in prices.items() if t in set(instance_types)]
        frame = pl.DataFrame(rows, schema=ON_DEMAND, orient="row")
        return frame.unique(["region", "instance_type", "product"]).sort("region", "instance_type", "product")

    def _account(self) -> str:
        return str(self._call(self._home, self.client("sts", self._home).get_caller_identity)["Account"])

    def _ec2(self, region: str) -> Any:
        return self.client("ec2", region)

    def client(self, service: str, region: str) -> Any:
        """The boto3 client of a service in a region, shared by all threads."""
        with self._lock:
            client = self._clients.get((service, region))
            if client is None:
                client = self._session.client(service, region_name=region, config=self._config())
                if service == "ec2" and self._early:
                    client.meta.events.register("before-parse.ec2.DescribeSpotPriceHistory", _decode_early)
                self._clients[service, region] = client
            return client

    def _config(self) -> Config:
        return Config(
            retries={"mode": "adaptive", "total_max_attempts": self._limits.attempts},
            connect_timeout=self._limits.connect_s,
            read_timeout=self._limits.read_s,
            max_pool_connections=self._limits.connections,
        )

    def _fact(self, region: str, name: str, ask: Callable[[], _T]) -> _T:
        kept = self._facts.get((region, name))
        if kept is not None and time.monotonic() - kept[0] < _FACTS_KEPT_S:
            value: _T = kept[1]
            return value
        value = self._call(region, ask)
        self._facts[region, name] = (time.monotonic(), value)
        return value

    def _call(self, region: str, ask: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """The border: what boto3 raises becomes our errors. A cut-off body, which boto3 does not retry, is retried."""
        for left in reversed(range(self._limits.attempts)):
            try:
                return ask(*args, **kwargs)
            except ResponseParserError as error:
                if left == 0:
                    raise translate(region, error, home=self._home) from error
            except (ClientError, BotoCoreError) as error:
                raise translate(region, error, home=self._home) from error
        raise AssertionError("no attempts allowed")


def _decode_early(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Before boto3 parses a page: take its records out, so that little is left to parse."""
    if response_dict["status_code"] >= 300:
        return
    decoded = spot_xml.decode(response_dict["body"])
    if decoded is not None:
        customized_response_dict[_RECORDS], response_dict["body"] = decoded


def records_of(answer: dict[str, Any]) -> pl.DataFrame:
    """The records of a parsed page (`spot_xml.RECORDS`), decoded early or by boto3."""
    early = answer.get(_RECORDS)
    if isinstance(early, pl.DataFrame):
        return early
    rows = [
        (
            r.get("InstanceType"),
            r.get("ProductDescription"),
            r.get("SpotPrice"),
            r["Timestamp"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            r.get("AvailabilityZone"),
            r.get("AvailabilityZoneId", ""),
        )
        for r in answer["SpotPriceHistory"]
    ]
    return pl.DataFrame(rows, schema=spot_xml.RECORDS, orient="row")


def _chunks(names: Sequence[str]) -> Iterator[list[str]]:
    for i in range(0, len(names), _TYPES_PER_CALL):
        yield list(names[i : i + _TYPES_PER_CALL])


def _type_row(one: dict[str, Any]) -> tuple[str, int, int, str, int]:
    architectures = one.get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    known = [a for a in ("x86_64", "arm64") if a in architectures] or architectures or [""]
    gpus = sum(g.get("Count", 0) for g in one.get("GpuInfo", {}).get("Gpus", []))
    return one["InstanceType"], one["VCpuInfo"]["DefaultVCpus"], one["MemoryInfo"]["SizeInMiB"], known[0], gpus
