"""By how much each pool's prices have moved, and whether the features still relate to each other as they did."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from services.live.drift.reference import Reference
from services.live.drift.window import Sample
from services.models.scorer import Matrix

# Features that stand for a level; the others speak of the last hours' path, which any move of the market changes.
LEVELS = (
    "price",
    "on_demand_price",
    "price_ratio",
    "price_mean_1h",
    "price_mean_24h",
    "price_mean_7d",
    "price_min_7d",
    "price_max_7d",
    "vcpu",
    "memory_gib",
    "size_rank",
)
LEAST_ROWS = 30
SAME_WAY = 1.05


@dataclass(frozen=True, slots=True)
class Moves:
    """Pool → price now over its price in the reference, for spot and on-demand prices; pools known in both."""

    prices: dict[str, float]
    on_demand: dict[str, float]


@dataclass(frozen=True, slots=True)
class CommonMove:
    """The pools' middle factor, and the share of them that moved its way by 5 % or more."""

    factor: float
    share: float
    pools: int


@dataclass(frozen=True, slots=True)
class Relation:
    """Two features' rank correlation over the rows (Spearman), before and now."""

    features: tuple[str, str]
    before: float
    now: float

    @property
    def change(self) -> float:
        """How far it has come from what it was, 0..2."""
        return abs(self.now - self.before)


def measure(sample: Sample, prices: dict[str, float], on_demand: dict[str, float]) -> Moves:
    """The window's medians over those of the reference."""
    return Moves(
        _factors(sample.pool_medians("price"), prices), _factors(sample.pool_medians("on_demand_price"), on_demand)
    )


def common(factors: dict[str, float]) -> CommonMove | None:
    """What the pools have in common; None without any."""
    if not factors:
        return None
    logs = np.log(np.array(list(factors.values())))
    middle = float(np.median(logs))
    way = np.sign(middle)
    return CommonMove(float(np.exp(middle)), float(np.mean(logs * way >= np.log(SAME_WAY))), len(logs))


def shifted(reference: Reference, sample: Sample) -> CommonMove | None:
    """The same from the rows alone, where no pool's price of then is known: how far the ratio to on-demand has gone.

    The share is that of the rows that lie 5 % or more from the reference's median, on the side that most do.
    """
    name = "price_ratio" if "price_ratio" in reference.names else "price"
    if name not in reference.names:
        return None
    before, now = reference.column(name), sample.column(name)
    before, now = before[~np.isnan(before)], now[~np.isnan(now)]
    if not len(before) or not len(now):
        return None
    middle = float(np.median(before))
    factor = float(np.median(now)) / middle
    beyond = now >= middle * SAME_WAY if factor > 1 else now <= middle / SAME_WAY
    return CommonMove(factor, float(beyond.mean()), len(sample.pool_ids))


def largest_change(reference: Reference, sample: Sample) -> Relation | None:
    """The pair of level features whose relation has changed most; None where there is nothing to compare."""
    names = [name for name in LEVELS if name in reference.names and name in sample.names]
    before = np.column_stack([reference.column(name) for name in names]) if names else np.empty((0, 0))
    now = np.column_stack([sample.column(name) for name in names]) if names else before
    varying = [place for place in range(len(names)) if _varies(before[:, place]) and _varies(now[:, place])]
    if len(varying) < 2:
        return None
    names = [names[place] for place in varying]
    then, today = _ranks_related(before[:, varying]), _ranks_related(now[:, varying])
    if then is None or today is None:
        return None
    change = np.triu(np.abs(today - then), 1)
    one, other = np.unravel_index(int(np.argmax(change)), change.shape)
    return Relation((names[one], names[other]), float(then[one, other]), float(today[one, other]))


def region_of(pool_id: str) -> str:
    """The region of a pool."""
    return pool_id.split("/", 1)[0]


def _factors(now: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {pool: now[pool] / before[pool] for pool in now.keys() & before.keys() if now[pool] > 0 and before[pool] > 0}


def _varies(values: Matrix) -> bool:
    known = values[~np.isnan(values)]
    return len(known) >= LEAST_ROWS and bool(known.min() < known.max())


def _ranks_related(matrix: Matrix) -> Matrix | None:
    """Spearman's rank correlations, float64[columns, columns], over the rows without NaN."""
    rows = matrix[~np.isnan(matrix).any(axis=1)]
    if len(rows) < LEAST_ROWS or (rows.min(axis=0) == rows.max(axis=0)).any():
        return None
    ranks = stats.rankdata(rows, axis=0)
    return np.atleast_2d(np.corrcoef(ranks, rowvar=False))
