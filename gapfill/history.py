"""The history: what prices were, what on-demand cost, what types are made of, what models predicted."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from gapfill.frames import INSTANCE_TYPES, INSTANT, ON_DEMAND, PREDICTIONS, PRICES, SERVED
from gapfill.ledger_tables import LedgerTables
from gapfill.scope import PLACES, Scope, with_places
from gapfill.tables import Table

_INGESTED = {"ingested_at": INSTANT}
PRICE_ROWS = pl.Schema({**PRICES, **PLACES, **_INGESTED})
ON_DEMAND_ROWS = pl.Schema({**ON_DEMAND, **_INGESTED})
TYPE_ROWS = pl.Schema({**INSTANCE_TYPES, **_INGESTED})
PREDICTION_ROWS = pl.Schema({**PREDICTIONS, **PLACES, **_INGESTED})

_PREDICTION_KEY = ["model_id", "pool_id", "as_of", "origin"]
_ANY = Scope()
# What a prediction that nobody asked for says of the columns of one that somebody did.
_ALONE = {
    "experiment": pl.lit(""),
    "arm": pl.lit(""),
    "count": pl.lit(1, pl.Int64),
    "what_if": pl.lit(value=False),
    "batch": pl.lit(""),
}


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of rows that were handed in: `stored` new ones, `present` ones that were known.

    `conflicting` of the present ones say another price than the history, which keeps what it had;
    `refused` were no prices.
    """

    stored: int = 0
    present: int = 0
    conflicting: int = 0
    refused: int = 0


def no_fence() -> None:
    """The fence of a writer that nobody replaces."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class History:
    """Delta tables under one root, of one market.

    Writers check and append under one lock, so two threads cannot store a point twice; a writer in another process is
    kept out by `fence`, which is called right before each commit and raises `StaleWriter`. Readers, in any process,
    see each commit at once and whole. Every row has `ingested_at`; "as known at t" means `ingested_at` <= t.
    """

    def __init__(
        self,
        root: Path | str,
        market_id: str,
        fence: Callable[[], None] = no_fence,
        *,
        clock: Callable[[], datetime] = _utc_now,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        """Open `root`, a folder or an object store's URL; nothing is made before the first write.

        Raises `HistoryMarketMismatch` when its tables hold another market's prices, `HistoryTooNew` when a newer
        release wrote them.
        """
        self.root = str(root).rstrip("/")
        self.market_id = market_id
        self._clock = clock
        self._lock = threading.RLock()

        def table(name: str, schema: pl.Schema, month_of: str = "") -> Table:
            return Table(f"{self.root}/{name}", schema, market_id, fence, storage_options, month_of=month_of)

        self._prices = table("prices", PRICE_ROWS, "at")
        self._on_demand = table("on_demand", ON_DEMAND_ROWS)
        self._types = table("instance_types", TYPE_ROWS)
        self._predictions = table("predictions", PREDICTION_ROWS, "as_of")
        self.ledger = LedgerTables(table, clock)

    # Prices

    def append_prices(self, points: pl.DataFrame) -> Appended:
        """Store the points (`frames.PRICES`) that are not there yet; the first price written for an instant stays."""
        good = points.filter(pl.col("price_micro_usd") > 0, pl.col("at").is_not_null(), pl.col("pool_id").is_not_null())
        refused = points.height - good.height
        if good.is_empty():
            return Appended(refused=refused)
        unique = good.unique(["pool_id", "at"], keep="first", maintain_order=True)
        twins = good.join(unique, on=["pool_id", "at"]).filter(
            pl.col("price_micro_usd") != pl.col("price_micro_usd_right")
        )
        rows = with_places(unique)
        with self._lock:
            known = rows.join(self._known_points(rows), on=["pool_id", "at"], how="inner")
            fresh = rows.join(known, on=["pool_id", "at"], how="anti")
            self._prices.append(self._stamp(fresh).sort("pool_id", "at"))
        disagree = known.filter(pl.col("price_micro_usd") != pl.col("known_micro_usd")).height
        return Appended(fresh.height, good.height - fresh.height, disagree + twins.height, refused)

    def prices(
        self,
        scope: Scope = _ANY,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        carry_in: bool = True,
        known_at: datetime | None = None,
        stamped: bool = False,
    ) -> pl.DataFrame:
        """Points in [start, end) by pool and time (`frames.PRICES`), each pool preceded by its last point before start.

        Without `carry_in` that earlier point is left out. `known_at` hides what was ingested later; with `stamped`
        each row has its `ingested_at` too.
        """
        columns = [*PRICES, "ingested_at"] if stamped else list(PRICES)
        rows = self._prices.scan().filter(scope.predicate())
        if known_at is not None:
            rows = rows.filter(pl.col("ingested_at") <= known_at)
        if end is not None:
            rows = rows.filter(pl.col("at") < end)
        if start is None:
            return rows.select(columns).sort("pool_id", "at").collect()
        inside = rows.filter(pl.col("at") >= start).select(columns)
        if carry_in:
            before = rows.filter(pl.col("at") < start).select(columns)
            last = before.group_by("pool_id").agg(pl.all().sort_by("at").last()).select(columns)
            inside = pl.concat([last, inside])
        return inside.sort("pool_id", "at").collect()

    def pools(self, scope: Scope = _ANY) -> pl.DataFrame:
        """Per pool: pool_id, zone_id, region, instance_type, product, first_at, last_at, points (a count)."""
        return (
            self._prices.scan()
            .filter(scope.predicate())
            .group_by("pool_id")
            .agg(
                pl.col("zone_id").max(),
                pl.col("region", "instance_type", "product").first(),
                pl.col("at").min().alias("first_at"),
                pl.col("at").max().alias("last_at"),
                pl.len().cast(pl.Int64()).alias("points"),
            )
            .sort("pool_id")
            .collect()
        )

    def _known_points(self, rows: pl.DataFrame) -> pl.DataFrame:
        low, high = rows["at"].min(), rows["at"].max()
        return (
            self._prices.scan()
            .filter(pl.col("region").is_in(rows["region"].unique().to_list()), pl.col("at").is_between(low, high))
            .select("pool_id", "at", pl.col("price_micro_usd").alias("known_micro_usd"))
            .collect()
        )

    # On-demand prices and instance types

    def append_on_demand(self, prices: pl.DataFrame) -> int:
        """Store the on-demand prices (`frames.ON_DEMAND`) that differ from the last known one; how many did."""
        key = ["region", "instance_type", "product"]
        with self._lock:
            last = self.on_demand().group_by(key).agg(pl.col("price_micro_usd").sort_by("at").last().alias("known"))
            fresh = (
                prices.filter(pl.col("price_micro_usd") > 0)
                .unique(key, keep="first", maintain_order=True)
                .join(last, on=key, how="left")
                .filter(pl.col("known").is_null() | (pl.col("known") != pl.col("price_micro_usd")))
            )
            self._on_demand.append(self._stamp(fresh))
        return fresh.height

    def on_demand(self, scope: Scope = _ANY) -> pl.DataFrame:
        """Every on-demand price of the scope with the instant it was first seen (`frames.ON_DEMAND`)."""
        by_place = Scope(scope.regions, scope.instance_types, scope.products)
        rows = self._on_demand.scan().filter(by_place.predicate()).select(*ON_DEMAND)
        return rows.sort("region", "instance_type", "product", "at").collect()

    def append_instance_types(self, types: pl.DataFrame) -> int:
        """Store what types are made of (`frames.INSTANCE_TYPES`) where that is new or has changed; how many were."""
        with self._lock:
            fresh = types.unique("instance_type").join(
                self.instance_types(), on=list(INSTANCE_TYPES), how="anti", nulls_equal=True
            )
            self._types.append(self._stamp(fresh))
        return fresh.height

    def instance_types(self) -> pl.DataFrame:
        """What every known type is made of (`frames.INSTANCE_TYPES`), as last told."""
        rows = self._types.scan().group_by("instance_type").agg(pl.all().sort_by("ingested_at").last())
        return rows.select(*INSTANCE_TYPES).sort("instance_type").collect()

    # Predictions

    def append_predictions(self, predictions: pl.DataFrame) -> int:
        """Store predictions (`frames.PREDICTIONS`) not there yet by (model_id, pool_id, as_of, origin); how many."""
        if predictions.is_empty():
            return 0
        unique = predictions.unique(_PREDICTION_KEY, keep="first", maintain_order=True)
        low, high = unique["as_of"].min(), unique["as_of"].max()
        with self._lock:
            known = (
                self._predictions.scan()
                .filter(
                    pl.col("model_id").is_in(unique["model_id"].unique().to_list()),
                    pl.col("as_of").is_between(low, high),
                )
                .select(_PREDICTION_KEY)
                .collect()
            )
            fresh = unique.join(known, on=_PREDICTION_KEY, how="anti")
            self._predictions.append(self._stamp(with_places(fresh)))
        return fresh.height

    def predictions(
        self,
        scope: Scope = _ANY,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        model_id: str | None = None,
        origin: str | None = None,
    ) -> pl.DataFrame:
        """Predictions with `as_of` in [start, end), by model, pool and time (`frames.PREDICTIONS`); served ones too."""
        rows = self.scan_predictions(scope)
        if start is not None:
            rows = rows.filter(pl.col("as_of") >= start)
        if end is not None:
            rows = rows.filter(pl.col("as_of") < end)
        if model_id is not None:
            rows = rows.filter(pl.col("model_id") == model_id)
        if origin is not None:
            rows = rows.filter(pl.col("origin") == origin)
        return rows.select(*PREDICTIONS).sort("model_id", "pool_id", "as_of", "origin").collect()

    def scan_predictions(self, scope: Scope = _ANY) -> pl.LazyFrame:
        """Predictions of every origin (`frames.SERVED`), unordered, not read yet."""
        own = self._predictions.scan().filter(scope.predicate()).with_columns(**_ALONE).select(*SERVED)
        return pl.concat([own, self.ledger.served(scope)])

    # Care

    def compact(self) -> int:
        """Merge the small files that live appends leave behind; call it hourly. How many files were merged."""
        tables = (self._prices, self._on_demand, self._types, self._predictions)
        return sum(table.compact() for table in tables) + self.ledger.compact()

    def version(self) -> tuple[int, int]:
        """A cheap sign of change: the commit numbers of prices and predictions."""
        return self._prices.version, self._predictions.version

    def _stamp(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.lit(self._clock()).cast(INSTANT).alias("ingested_at"))
