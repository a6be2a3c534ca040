"""What the market's tests share: a clock that is set, and boto3 clients that point at a market in a thread."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from gapfill.market.server import build_app
from gapfill.market.source import MarketSource
from gapfill.market.state import MarketState
from gapfill.market.threaded import serve_in_thread

NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
REAL_DATA = Path(os.environ.get("CLOUDOPTIM_REAL_DATA") or Path(__file__).parents[3].parent / "shared" / "data")


class SetClock:
    """A clock that stands where it was set."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


class Market:
    """A served market and clients for it."""

    def __init__(self, address: str, clock: SetClock) -> None:
        self.address = address
        self.clock = clock
        self._clients: dict[tuple[str, str, int], Any] = {}

    def client(self, service: str, region: str = "us-east-1", attempts: int = 1) -> Any:
        wanted = (service, region, attempts)
        if wanted not in self._clients:
            self._clients[wanted] = boto3.client(
                service,
                region_name=region,
                endpoint_url=self.address,
                aws_access_key_id="any",
                aws_secret_access_key="any",
                config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}, read_timeout=10),
            )
        return self._clients[wanted]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@contextmanager
def serving(source: MarketSource, clock: SetClock | None = None, state: MarketState | None = None) -> Iterator[Market]:
    """`source` served in a thread, on a clock that stands at `NOON` unless another is given."""
    clock = clock or SetClock()
    with serve_in_thread(build_app(source, state, clock)) as address:
        market = Market(address, clock)
        try:
            yield market
        finally:
            market.close()


def every_record(client: Any, **asked: Any) -> list[dict[str, Any]]:
    """All records of a paged DescribeSpotPriceHistory."""
    pages = client.get_paginator("describe_spot_price_history").paginate(**asked)
    return [record for page in pages for record in page["SpotPriceHistory"]]
