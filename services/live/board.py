"""The feature board: the latest feature row of every tracked pool, held in memory by each process that predicts."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gapfill.pools import Pool
from services.models.scorer import Matrix, Vector


@dataclass(frozen=True, slots=True)
class TypeFacts:
    """What an instance type is made of, as far as features do not say it."""

    architecture: str
    gpus: int


@dataclass(frozen=True)
class FeatureBlock:
    """The rows of one tick.

    `matrix` float64[pools, names] (NaN: unknown), `imputed` bool[pools, names], `observed_at` float64[pools] in epoch
    seconds of each pool's last record (NaN: none), `known_at` float64[pools] in epoch seconds of the last time that the
    market told the pool's price. `seq` grows with each tick of one loop; `as_of` is the instant that the rows speak of.
    """

    seq: int
    as_of: datetime
    market_id: str
    names: tuple[str, ...]
    pool_ids: tuple[str, ...]
    matrix: Matrix
    imputed: NDArray[np.bool_]
    observed_at: Vector
    known_at: Vector
    types: dict[str, TypeFacts]

    @classmethod
    def from_frame(
        cls,
        frame: pl.DataFrame,
        names: tuple[str, ...],
        *,
        seq: int,
        as_of: datetime,
        market_id: str,
        known_at: Vector,
        types: dict[str, TypeFacts],
    ) -> "FeatureBlock":
        """From what `gapfill.features.compute` returns, and what is known of its pools beside."""
        flags = np.column_stack(
            [frame.select(pl.col("imputed").list.contains(name).fill_null(value=False)).to_series() for name in names]
        ).astype(bool)
        seconds = frame["observed_at"].dt.epoch("ms").cast(pl.Float64) / 1000.0
        return cls(
            seq=seq,
            as_of=as_of,
            market_id=market_id,
            names=names,
            pool_ids=tuple(frame["pool_id"].to_list()),
            matrix=np.ascontiguousarray(frame.select(pl.col(names).cast(pl.Float64)).to_numpy(), dtype=np.float64),
            imputed=flags,
            observed_at=seconds.to_numpy().astype(np.float64),
            known_at=known_at,
            types=types,
        )

    def silence_h(self, rows: NDArray[np.intp] | slice = slice(None)) -> Vector:
        """Hours between each pool's last record and `as_of`, float64[rows]."""
        return (self.as_of.timestamp() - self.observed_at[rows]) / 3600.0

    def copied(self) -> "FeatureBlock":
        """With arrays of its own: Ray's objects die with their owner."""
        return FeatureBlock(
            self.seq,
            self.as_of,
            self.market_id,
            self.names,
            self.pool_ids,
            self.matrix.copy(),
            self.imputed.copy(),
            self.observed_at.copy(),
            self.known_at.copy(),
            self.types,
        )

    @property
    def simulated(self) -> bool:
        """Whether the prices are a simulator's or a replayer's."""
        return simulated(self.market_id)


class FeatureBoard:
    """Holds the newest block and finds rows in it. Safe to read from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._shown: tuple[FeatureBlock, dict[tuple[str, str, str], NDArray[np.intp]]] | None = None
        self._pool_ids: tuple[str, ...] = ()

    @property
    def block(self) -> FeatureBlock | None:
        """The newest block, or None before the first."""
        shown = self._shown
        return shown[0] if shown else None

    def show(self, block: FeatureBlock) -> None:
        """Take a newer block; an older one than what is shown is ignored."""
        with self._lock:
            shown = self._shown
            if shown and shown[0].as_of > block.as_of:
                return
            places = shown[1] if shown and self._pool_ids == block.pool_ids else _places(block.pool_ids)
            self._pool_ids = block.pool_ids
            self._shown = (block, places)

    def rows(self, region: str, instance_type: str, product: str) -> tuple[FeatureBlock, NDArray[np.intp]] | None:
        """The block and the indices of the pools of (region, type, product), one per zone; None before the first block.

        The indices are empty for what is not tracked.
        """
        shown = self._shown
        if shown is None:
            return None
        block, places = shown
        return block, places.get((region, instance_type, product), _NOWHERE)

    def age_s(self, now: datetime | None = None) -> float | None:
        """Seconds since the newest block's `as_of`; None before the first."""
        block = self.block
        return ((now or datetime.now(UTC)) - block.as_of).total_seconds() if block else None


def simulated(market_id: str) -> bool:
    """Whether a market is not AWS itself."""
    return not market_id.startswith("aws:")


_NOWHERE: NDArray[np.intp] = np.array([], dtype=np.intp)


def _places(pool_ids: tuple[str, ...]) -> dict[tuple[str, str, str], NDArray[np.intp]]:
    found: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for index, pool_id in enumerate(pool_ids):
        pool = Pool.parse(pool_id)
        found[(pool.region, pool.instance_type, pool.product)].append(index)
    return {key: np.array(indices, dtype=np.intp) for key, indices in found.items()}
