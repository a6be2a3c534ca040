"""The last days of prices, in memory: what a tick needs to compute features without reading the history."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from gapfill.features.registry import LONGEST_WINDOW
from gapfill.frames import INSTANCE_TYPES, ON_DEMAND, PRICES
from gapfill.history import History
from gapfill.prices import PriceSource
from gapfill.scope import Scope
from services.live.tracking import RegionScope

# Older points are dropped in one go, not at each tick.
SLACK = timedelta(hours=6)
# The history grows with every batch of our own prices, and with what a fill adds; reading it anew takes at most this
# share of the time, so that a small world sees a fill at once and a large one is not kept from ticking.
RELOAD_SHARE = 0.05


class Recent:
    """Points, on-demand prices and instance types of the tracked pools. One thread's at a time."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._loaded: tuple[tuple[RegionScope, ...], int] | None = None
        self._due_at = 0.0
        self._trimmed_to: datetime | None = None
        self.points = pl.DataFrame(schema=PRICES)
        self.on_demand = pl.DataFrame(schema=ON_DEMAND)
        self.instance_types = pl.DataFrame(schema=INSTANCE_TYPES)

    def refresh(self, scopes: Sequence[RegionScope], now: datetime) -> bool:
        """Read the history where it or the selection has changed since the last time; whether it was read."""
        seen = (tuple(scopes), self._history.version()[0])
        began = time.monotonic()
        if seen == self._loaded or began < self._due_at:
            return False
        frames = [
            self._history.prices(
                Scope((scope.region,), scope.instance_types, scope.products), start=now - LONGEST_WINDOW, carry_in=True
            )
            for scope in scopes
        ]
        self.on_demand = self._history.on_demand()
        self.instance_types = self._history.instance_types()
        self._loaded = seen
        self.add(pl.concat(frames) if frames else self.points.clear(), now)
        ended = time.monotonic()
        self._due_at = ended + (ended - began) / RELOAD_SHARE
        return True

    def add_facts(self, source: PriceSource, scopes: Sequence[RegionScope]) -> None:
        """Ask the market for what the history does not know of yet: on-demand prices and what types are made of.

        Raises `MarketError`. They go into the history with the first fill.
        """
        for scope in scopes:
            known = self.on_demand.filter(pl.col("region") == scope.region)["instance_type"]
            missing = sorted(set(scope.instance_types) - set(known))
            if not missing:
                continue
            prices = source.on_demand(scope.region, missing, scope.products)
            self.on_demand = pl.concat([self.on_demand, prices.select(*ON_DEMAND)])
            types = source.instance_types(scope.region, missing)
            self.instance_types = pl.concat([self.instance_types, types.select(*INSTANCE_TYPES)]).unique(
                "instance_type"
            )

    def add(self, points: pl.DataFrame, now: datetime) -> None:
        """Take in new points; duplicates are dropped, and in time what no window reaches."""
        if not points.is_empty():
            merged = pl.concat([self.points, points.select(*PRICES)])
            self.points = merged.unique(["pool_id", "at"], keep="first", maintain_order=True)
        oldest = now - LONGEST_WINDOW
        if self._trimmed_to is None or oldest - self._trimmed_to > SLACK:
            self._trimmed_to = oldest
            self.points = _without_older(self.points, oldest)


def _without_older(points: pl.DataFrame, oldest: datetime) -> pl.DataFrame:
    """The points since `oldest`, and each pool's last one before."""
    before = points.filter(pl.col("at") <= oldest)
    carried = before.group_by("pool_id").agg(pl.all().sort_by("at").last()).select(*PRICES)
    return pl.concat([carried, points.filter(pl.col("at") > oldest)])
