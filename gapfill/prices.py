"""The contract of a price source; shapes, units and errors are documented here and only here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl


@dataclass(frozen=True, slots=True)
class PricePage:
    """One page of price points (schema `frames.PRICES`, in no promised order, duplicates possible).

    `refused` are the instants of the records that were not prices (zero, negative, not a number); they are in no row.
    """

    points: pl.DataFrame
    refused: Sequence[datetime] = ()


class PriceSource(Protocol):
    """Where prices come from.

    Every method may block on the network and is safe to call from several threads. All raise `MarketUnavailable`
    when retries are used up, `MarketAccessDenied` on refused credentials, `RegionNotEnabled` for such a region.
    """

    @property
    def market_id(self) -> str:
        """`aws:<account>`, `sim:<seed>` or `replay:<sha256>+<shift>`; the same for the life of the source."""
        ...

    def regions(self) -> tuple[str, ...]:
        """Names of the enabled regions, sorted."""
        ...

    def zones(self, region: str) -> dict[str, str]:
        """Zone name → zone id of a region."""
        ...

    def offerings(self, region: str) -> frozenset[str]:
        """Instance types that the region offers in at least one zone."""
        ...

    def instance_types(self, region: str, instance_types: Sequence[str]) -> pl.DataFrame:
        """What the types are made of (`frames.INSTANCE_TYPES`); types not offered there are left out."""
        ...

    def spot_pages(
        self, region: str, instance_types: Sequence[str], products: Sequence[str], start: datetime, end: datetime
    ) -> Iterator[PricePage]:
        """Every point of the pools in [start, end], and for each pool the one before `start` where known.

        Points older than what the source keeps are silently absent; a type that is not offered yields nothing.
        """
        ...

    def current(self, region: str, instance_types: Sequence[str], products: Sequence[str]) -> pl.DataFrame:
        """The point that holds now, per pool (`frames.PRICES`)."""
        ...

    def on_demand(self, region: str, instance_types: Sequence[str], products: Sequence[str]) -> pl.DataFrame:
        """On-demand prices, shared tenancy (`frames.ON_DEMAND`, `at`: when it was asked); unknown ones are absent."""
        ...
