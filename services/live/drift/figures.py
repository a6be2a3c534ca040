"""How far two samples of a feature lie apart: population stability index and Kolmogorov-Smirnov distance.

Both are sizes of an effect, not probabilities: prices are autocorrelated, so that a p-value would call every day new.
Their usual thresholds (0.25, Siddiqi, Credit Risk Scorecards, 2006, chapter 11; 0.15) suppose many independent rows.
Pools are few and their hours alike: below the *resolution* two samples of one market differ as much by chance.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from services.models.scorer import Vector

BINS = 10
# Added to every bin's count, so that an empty one has a share (Krichevsky and Trofimov, 1981).
SMOOTHING = 0.5
# What a market that stands still exceeds by chance: twenty features are looked at in hundreds of windows, and pools of
# one type go together, so that there are fewer independent ones than are counted.
CHANCE = 1e-6
LEAST_VALUES = 30


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on a distance counts, and how many windows running."""

    psi: float = 0.25
    ks: float = 0.15
    windows: int = 3


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature in one window; `psi` and `ks` are None where too little of it was observed to compare."""

    feature: str
    psi: float | None
    ks: float | None
    reference_median: float | None
    median: float | None
    imputed_share: float
    drifted: bool


def bin_edges(reference: Vector, bins: int = BINS) -> Vector:
    """The inner edges of the reference's quantile bins, float64[at most bins - 1]; equal ones become one."""
    return np.unique(np.quantile(reference, np.linspace(0.0, 1.0, bins + 1)[1:-1]))


def shares(values: Vector, edges: Vector) -> Vector:
    """The smoothed share of the values in each of the bins (-inf, e1], (e1, e2], … (en, inf), float64[edges + 1]."""
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) + SMOOTHING
    return np.asarray(counts / counts.sum(), np.float64)


def psi(reference: Vector, live: Vector) -> float:
    """Σ (p - q) ln(p / q) over the reference's quantile bins: the two relative entropies, added up."""
    edges = bin_edges(reference)
    p, q = shares(reference, edges), shares(live, edges)
    return float(special.rel_entr(p, q).sum() + special.rel_entr(q, p).sum())


def ks(reference: Vector, live: Vector) -> float:
    """The largest distance between the two empirical distribution functions, 0..1."""
    return float(stats.ks_2samp(reference, live, method="asymp").statistic)


def psi_resolution(n: int, m: int, bins: int = BINS) -> float:
    """What the index exceeds once in a million for n and m independent values of one distribution.

    It is then (1/n + 1/m) times a chi-squared variable with bins - 1 degrees (Yurdakul, Statistical properties of the
    population stability index, 2018).
    """
    return float((1 / n + 1 / m) * stats.chi2.isf(CHANCE, bins - 1))


def ks_resolution(n: int, m: int) -> float:
    """What the distance exceeds once in a million for n and m independent values (Smirnov's limit), at most 1."""
    return min(1.0, float(stats.kstwobign.isf(CHANCE)) * math.sqrt(1 / n + 1 / m))


def compare(
    feature: str, reference: Vector, live: Vector, imputed_share: float, independent: tuple[int, int], at: Thresholds
) -> FeatureDrift:
    """One feature's figures; both vectors may hold NaN, which is left out.

    `independent` says how many independent values there are behind the live and the reference rows.
    """
    known, seen = reference[~np.isnan(reference)], live[~np.isnan(live)]
    if len(known) < LEAST_VALUES or len(seen) < LEAST_VALUES:
        return FeatureDrift(feature, None, None, _median(known), _median(seen), imputed_share, drifted=False)
    index, distance = psi(known, seen), ks(known, seen)
    drifted = index >= max(at.psi, psi_resolution(*independent)) or distance >= max(at.ks, ks_resolution(*independent))
    return FeatureDrift(feature, index, distance, _median(known), _median(seen), imputed_share, drifted)


def _median(values: Vector) -> float | None:
    return float(np.median(values)) if len(values) else None
