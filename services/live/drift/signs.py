"""What a window shows of its collector: each sign is a fault that no market makes, with the figure that shows it."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.live.drift.moves import Moves, region_of
from services.live.drift.reference import Reference
from services.live.drift.window import Sample

MOST_SHARE = 0.2
# AWS repeats an unchanged price about every 24 h.
SILENCE_H = 25.0
LEAST_POOLS = 10
LEAST_FROZEN = 20
LEAST_OF_REGION = 3
LEAST_DISTINCT = 5
# Spot prices are bounded by on-demand ones, and lie at a fifth of them or above: no market moves so far.
MOST_FACTOR = 5.0
SAME_FACTOR = 0.02  # the spread of the logarithms
JUMP = 1.25
STILL = 1.10


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign: its name, what it means, and the figures behind it."""

    name: str
    sentence: str
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """What of earlier windows a window is held against: pools that were there, and the least that was imputed."""

    pools: frozenset[str]
    imputed_share: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the signs are read from."""

    sample: Sample
    reference: Reference | None
    moves: Moves
    seen: Seen
    features: tuple[str, ...]
    max_age_s: float


def collector_signs(evidence: Evidence) -> list[Sign]:
    """Every sign that a window shows."""
    return [sign for look in _LOOKS if (sign := look(evidence)) is not None]


def imputed_share(sample: Sample, features: tuple[str, ...]) -> float:
    """Which share of the features' values was not fully observed."""
    columns = [sample.names.index(name) for name in features]
    return float(sample.imputed[:, columns].mean()) if columns and len(sample.matrix) else 0.0


def _unknown(evidence: Evidence) -> Sign | None:
    share = float(np.isnan(evidence.sample.column("price")).mean())
    sentence = f"{share:.0%} of the rows have no price."
    return Sign("unknown_prices", sentence, {"share": share}) if share >= MOST_SHARE else None


def _imputed(evidence: Evidence) -> Sign | None:
    share, least = imputed_share(evidence.sample, evidence.features), evidence.seen.imputed_share
    if share - least < MOST_SHARE:
        return None
    sentence = f"{share:.0%} of the values are imputed, where {least:.0%} were."
    return Sign("imputed_values", sentence, {"share": share, "before": least})


def _silent(evidence: Evidence) -> Sign | None:
    share = float(np.mean(~(evidence.sample.silence_h <= SILENCE_H)))
    sentence = f"{share:.0%} of the rows have no record of the last {SILENCE_H:.0f} h."
    return Sign("silent_pools", sentence, {"share": share}) if share >= MOST_SHARE else None


def _stale(evidence: Evidence) -> Sign | None:
    sample = evidence.sample
    ages: defaultdict[str, list[float]] = defaultdict(list)
    for place, age in zip(sample.pool, sample.known_age_s, strict=True):
        ages[region_of(sample.pool_ids[place])].append(age)
    stale = sorted(region for region, found in ages.items() if not np.median(found) <= evidence.max_age_s)
    if not stale:
        return None
    return Sign("regions_not_answering", f"No answer from {', '.join(stale)}.", {"regions": stale})


def _missing(evidence: Evidence) -> Sign | None:
    before, now = evidence.seen.pools, evidence.sample.present
    if not before:
        return None
    share = len(before - now) / len(before)
    regions = sorted({region_of(pool) for pool in before} - {region_of(pool) for pool in now})
    if share < MOST_SHARE and not regions:
        return None
    sentence = f"{len(before - now)} of {len(before)} pools are gone."
    return Sign("pools_missing", sentence, {"share": share, "regions": regions})


def _constant(evidence: Evidence) -> Sign | None:
    if evidence.reference is None or len(evidence.sample.pool_ids) < LEAST_POOLS:
        return None
    found = {}
    for name in ("price", "price_ratio", "price_mean_24h", "price_mean_7d"):
        if name not in evidence.reference.names:
            continue
        now, before = evidence.sample.column(name), evidence.reference.column(name)
        now, before = now[~np.isnan(now)], before[~np.isnan(before)]
        if len(now) and len(np.unique(now)) == 1 and len(np.unique(before)) >= LEAST_DISTINCT:
            found[name] = float(now[0])
    if not found:
        return None
    return Sign("constant_values", f"One value in every pool: {', '.join(found)}.", {"values": found})


def _frozen(evidence: Evidence) -> Sign | None:
    name = "changes_24h"
    sample, reference = evidence.sample, evidence.reference
    if reference is None or name not in reference.names or len(sample.pool_ids) < LEAST_FROZEN:
        return None
    moved = float(np.nanmean(reference.column(name) > 0))
    if moved < MOST_SHARE or np.nanmax(sample.column(name), initial=0.0) > 0:
        return None
    sentence = f"No pool changed its price in 24 h, where {moved:.0%} did."
    return Sign("frozen_prices", sentence, {"moving_before": moved})


def _unit_jump(evidence: Evidence) -> Sign | None:
    for what, factors in (("spot", evidence.moves.prices), ("on-demand", evidence.moves.on_demand)):
        logs = by_region(factors)
        typical = {region: float(np.median(found)) for region, found in logs.items()}
        far = sorted(region for region, log in typical.items() if abs(log) >= np.log(MOST_FACTOR))
        alone = sorted(region for region in typical if _jumped_alone(region, logs, typical))
        if regions := far or alone:
            by = {region: round(float(np.exp(typical[region])), 4) for region in regions}
            told = ", ".join(f"{region} by {factor:g}" for region, factor in by.items())
            return Sign("unit_jump", f"The {what} prices of a region jumped as one: {told}.", {what: by})
    return None


def _jumped_alone(region: str, logs: dict[str, list[float]], typical: dict[str, float]) -> bool:
    """All its pools by one and the same factor, and no other region with it: no market prices so."""
    others = [log for name, log in typical.items() if name != region]
    low, high = np.percentile(logs[region], [25, 75])
    return bool(
        others
        and abs(typical[region]) >= np.log(JUMP)
        and high - low <= SAME_FACTOR
        and max(abs(log) for log in others) <= np.log(STILL)
    )


def by_region(factors: dict[str, float]) -> dict[str, list[float]]:
    """Region → the logarithms of its pools' factors, for regions with enough pools."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for pool_id, factor in factors.items():
        found[region_of(pool_id)].append(float(np.log(factor)))
    return {region: logs for region, logs in found.items() if len(logs) >= LEAST_OF_REGION}


_LOOKS: tuple[Callable[[Evidence], Sign | None], ...] = (
    _unknown,
    _imputed,
    _silent,
    _stale,
    _missing,
    _constant,
    _frozen,
    _unit_jump,
)
