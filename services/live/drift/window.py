"""A window of live feature rows: a few snapshots of a fixed sample of pools, whatever the size of the world."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from services.live.board import FeatureBlock
from services.models.scorer import Matrix, Vector

MOST_POOLS = 1000
SNAPSHOTS = 8


@dataclass(frozen=True)
class Sample:
    """The rows of one window, [start, end).

    `matrix` float64[rows, names] (NaN: unknown), `imputed` bool[rows, names]; `pool` intp[rows] indexes `pool_ids`;
    `silence_h` float64[rows] is the age of the pool's last record, `known_age_s` that of the market's last answer;
    `present` are all pools that were there, also those that are not sampled.
    """

    start: datetime
    end: datetime
    names: tuple[str, ...]
    matrix: Matrix
    imputed: NDArray[np.bool_]
    pool_ids: tuple[str, ...]
    pool: NDArray[np.intp]
    silence_h: Vector
    known_age_s: Vector
    present: frozenset[str]

    def column(self, name: str) -> Vector:
        """A feature's values, float64[rows]."""
        return self.matrix[:, self.names.index(name)]

    def observed(self, name: str) -> Vector:
        """A feature's values where they were fully observed, NaN elsewhere, float64[rows]."""
        place = self.names.index(name)
        return np.where(self.imputed[:, place], np.nan, self.matrix[:, place])

    def pool_medians(self, name: str) -> dict[str, float]:
        """The median of a feature in each sampled pool that has one."""
        values = self.column(name)
        order = np.argsort(self.pool, kind="stable")
        starts = np.searchsorted(self.pool[order], np.arange(len(self.pool_ids) + 1))
        found: dict[str, float] = {}
        for index, pool_id in enumerate(self.pool_ids):
            own = values[order[starts[index] : starts[index + 1]]]
            own = own[~np.isnan(own)]
            if len(own):
                found[pool_id] = float(np.median(own))
        return found


@dataclass(frozen=True, slots=True)
class _Snapshot:
    pool_ids: tuple[str, ...]
    matrix: Matrix
    imputed: NDArray[np.bool_]
    silence_h: Vector
    known_age_s: Vector


class Window:
    """Collects blocks from its first one on, for `length`; one thread's at a time."""

    def __init__(self, block: FeatureBlock, length: timedelta) -> None:
        self.start = block.as_of
        self.end = block.as_of + length
        self._names = block.names
        self._step = length / SNAPSHOTS
        self._due = block.as_of
        self._snapshots: list[_Snapshot] = []
        self._present: set[str] = set()

    def takes(self, block: FeatureBlock) -> bool:
        """Whether a block lies within this window and speaks of the same features."""
        return self.start <= block.as_of < self.end and block.names == self._names

    def add(self, block: FeatureBlock) -> None:
        """Take a snapshot of the block, where one is due."""
        if block.as_of < self._due:
            return
        self._due = block.as_of + self._step
        places = sampled(block.pool_ids)
        self._present.update(block.pool_ids)
        self._snapshots.append(
            _Snapshot(
                tuple(block.pool_ids[place] for place in places),
                block.matrix[places],
                block.imputed[places],
                block.silence_h(places),
                block.as_of.timestamp() - block.known_at[places],
            )
        )

    def sample(self) -> Sample:
        """What was collected."""
        pool_ids = tuple(sorted({pool_id for one in self._snapshots for pool_id in one.pool_ids}))
        places = {pool_id: place for place, pool_id in enumerate(pool_ids)}
        return Sample(
            self.start,
            self.end,
            self._names,
            np.concatenate([one.matrix for one in self._snapshots]),
            np.concatenate([one.imputed for one in self._snapshots]),
            pool_ids,
            np.array([places[pool_id] for one in self._snapshots for pool_id in one.pool_ids], dtype=np.intp),
            np.concatenate([one.silence_h for one in self._snapshots]),
            np.concatenate([one.known_age_s for one in self._snapshots]),
            frozenset(self._present),
        )


def sampled(pool_ids: Sequence[str], most: int = MOST_POOLS) -> NDArray[np.intp]:
    """The places of at most `most` pools: always the same ones, for they are chosen by a hash of the id."""
    if len(pool_ids) <= most:
        return np.arange(len(pool_ids), dtype=np.intp)
    hashes = np.array([zlib.crc32(pool_id.encode()) for pool_id in pool_ids])
    return np.sort(np.argsort(hashes, kind="stable")[:most]).astype(np.intp)
