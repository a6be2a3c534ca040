"""The seeded price process: records and interruptions of pools as pure functions of (key, UTC instant).

Inner time τ (days since 2020) is cut into slots of 3 h. A hash says in which slots a pool's price is set anew, and when
in the slot; more often under high *pressure*, a slowly moving latent in 0..1 that also lifts the price and the hazard
of interruptions. Every 56th slot (a week) is an anchor: a record whatever happens. So any window is computed from the
anchor before it, and nothing earlier. Prices that stay are repeated about every 24 h (heartbeats). Live activity runs τ
faster than the clock from an instant on (`Pace`), which multiplies changes and interruptions and nothing else.

The constants are fitted to the figures measured on real spot history: median 2.3 records a day (p95 4.0), 32 %
heartbeats, 27 % of pools without a change in 90 days, changes of 0.14 % in the median, 2.5 % at p99 and 7.1 % at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gapfill.market.hashing import Floats, Ints, Keys, draws, noise, uniform

EPOCH = 1_577_836_800  # 2020-01-01T00:00:00Z, where τ is 0
DAY = 86_400.0
SLOT_DAYS = 0.125
ANCHOR_SLOTS = 56
PRICE_STEP = 100  # AWS's spot prices have four decimals
_RANGE = (0.10, 0.98)  # of spot over on-demand
_HEARTBEAT_S = (23.2 * 3600, 23.9 * 3600)
_SILENCE = 0.004  # the share of heartbeats that are left out
_OWN, _SHARED, _SLOW, _FAST, _SLOT, _MOMENT, _BEAT, _STRIKE, _STRIKE_AT = range(1, 10)
_STATIC, _RATE, _SCALE, _LEVEL, _PHASE, _TEMPO, _RISK = range(20, 27)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast τ runs: (from which second on, how many times the clock), sorted; before the first it runs at 1."""

    steps: tuple[tuple[int, float], ...] = ()

    def _knots(self) -> tuple[Floats, Floats, Floats]:
        clock, inner, speed = [0.0], [-EPOCH / DAY], [1.0]
        for at, factor in self.steps:
            inner.append(inner[-1] + (at - clock[-1]) * speed[-1] / DAY)
            clock.append(float(at))
            speed.append(factor)
        return np.array(clock), np.array(inner), np.array(speed)

    def inner(self, seconds: Floats) -> Floats:
        """Seconds since 1970 → τ in days."""
        clock, inner, speed = self._knots()
        step = np.searchsorted(clock[1:], seconds, side="right")
        return np.asarray(inner[step] + (seconds - clock[step]) * speed[step] / DAY)

    def clock(self, tau: Floats) -> Floats:
        """τ in days → seconds since 1970."""
        clock, inner, speed = self._knots()
        step = np.searchsorted(inner[1:], tau, side="right")
        return np.asarray(clock[step] + (tau - inner[step]) / speed[step] * DAY)


@dataclass(frozen=True, slots=True)
class Pools:
    """The constants of pools; every array has one entry per pool."""

    keys: Keys
    shared: Keys  # the same for a type in all zones of a region: their pressure is related
    on_demand: Ints  # micro-USD per hour, Linux
    size_rank: Ints

    def take(self, rows: Ints) -> "Pools":
        """The pools at `rows`, in that order."""
        return Pools(self.keys[rows], self.shared[rows], self.on_demand[rows], self.size_rank[rows])

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Records:
    """Price records, sorted by pool and time: the pool's row, seconds since 1970, micro-USD per hour."""

    pool: Ints
    at: Ints
    price: Ints


def pressure(pools: Pools, tau: Floats) -> Floats:
    """The latent of each pool at τ (arrays that broadcast), in 0..1: high before and while capacity is short."""
    own = noise(pools.keys[:, None], _OWN, tau / 2.3)
    shared = noise(pools.shared[:, None], _SHARED, tau / 7.1)
    return np.clip(0.42 + 0.46 * own + 0.30 * shared, 0.0, 1.0)


def is_static(pools: Pools) -> NDArray[np.bool_]:
    """Which pools never change their price: a quarter, and those so cheap that one step would be over 6 %."""
    return (draws(pools.keys, _STATIC) < 0.265) | (level(pools) * pools.on_demand < 16 * PRICE_STEP)


def level(pools: Pools) -> Floats:
    """The usual ratio of spot to on-demand."""
    return 0.24 + 0.46 * draws(pools.keys, _LEVEL) ** 1.3


def _bell(pools: Pools, stream: int) -> Floats:
    """A draw per pool, about normal (0, 1), within ±3.46: the sum of four uniform ones."""
    total = sum((draws(pools.keys, stream * 8 + n) for n in range(4)), np.zeros(len(pools)))
    return np.asarray((total - 2.0) * np.sqrt(3.0))


def _change_chance(pools: Pools, strain: Floats) -> Floats:
    """The chance that a slot changes the price."""
    rate = 0.40 * np.exp(0.32 * _bell(pools, _RATE))
    rate[is_static(pools)] = 0.0
    return np.minimum(rate[:, None] * (0.03 + 4.6 * np.maximum(strain - 0.30, 0.0)), 0.9)


def _prices(pools: Pools, tau: Floats, strain: Floats) -> Ints:
    """The price in force from an evaluation at τ, micro-USD per hour; the arrays are flat, one pool per entry."""
    scale = np.minimum(2.8 * np.exp(0.8 * _bell(pools, _SCALE)), 4.4)
    slow = noise(pools.keys, _SLOW, tau / 31.0)
    fast = noise(pools.keys, _FAST, tau / 3.7)
    path = 0.030 * slow + 0.006 * fast * np.abs(slow) + 0.030 * np.maximum(strain - 0.3, 0.0) ** 1.5
    path[is_static(pools)] = 0.0
    ratio = np.clip(level(pools) * np.exp(scale * path), *_RANGE)
    return np.maximum(np.rint(ratio * pools.on_demand / PRICE_STEP).astype(np.int64), 1) * PRICE_STEP


def evaluations(pools: Pools, pace: Pace, start: int, end: int) -> Records:
    """When each pool's price is set or confirmed: from the anchor before `start` up to `end`, without heartbeats."""
    first, last = np.floor(pace.inner(np.array([float(start), float(end)])) / SLOT_DAYS).astype(np.int64)
    slots = np.arange(first - ANCHOR_SLOTS - 1, last + 1, dtype=np.int64)
    tau = (slots + uniform(pools.keys[:, None], _MOMENT, slots[None, :])) * SLOT_DAYS
    strain = pressure(pools, tau)
    phase = (draws(pools.keys, _PHASE) * ANCHOR_SLOTS).astype(np.int64)
    anchor = (slots[None, :] - phase[:, None]) % ANCHOR_SLOTS == 0
    chosen = anchor | (uniform(pools.keys[:, None], _SLOT, slots[None, :]) < _change_chance(pools, strain))
    chosen &= np.cumsum(anchor, axis=1) > 0
    row, column = np.nonzero(chosen)
    at = np.floor(pace.clock(tau[row, column])).astype(np.int64)
    price = _prices(pools.take(row), tau[row, column], strain[row, column])
    changed = np.ones(len(row), dtype=bool)
    changed[1:] = (row[1:] != row[:-1]) | (price[1:] != price[:-1])
    kept = (changed | anchor[row, column]) & (at <= end)
    kept[:-1] &= (row[1:] != row[:-1]) | (at[1:] != at[:-1]) | (at[1:] > end)
    return Records(row[kept], at[kept], price[kept])


def _heartbeats(pools: Pools, told: Records, end: int) -> Records:
    """The repetitions between (and after) records that are over a day apart, up to `end`."""
    until = np.full(len(told.at), end + 1, dtype=np.int64)
    same = told.pool[1:] == told.pool[:-1]
    until[:-1][same] = told.at[1:][same]
    shortest, longest = _HEARTBEAT_S
    tempo = (shortest + (longest - shortest) * draws(pools.keys, _TEMPO))[told.pool]
    count = np.maximum((until - told.at) // tempo, 0).astype(np.int64)
    source = np.repeat(np.arange(len(told.at)), count)
    turn = np.arange(len(source)) - np.repeat(np.cumsum(count) - count, count) + 1
    keys = pools.keys[told.pool[source]]
    luck = uniform(keys, _BEAT, told.at[source] + turn)
    at = (told.at[source] + turn * tempo[source] + 40.0 * luck).astype(np.int64)
    kept = (at < until[source]) & (luck >= _SILENCE)
    return Records(told.pool[source][kept], at[kept], told.price[source][kept])


def records(pools: Pools, pace: Pace, start: int, end: int) -> Records:
    """Every record of the pools in [start, end] (seconds), and for each pool the one before `start`."""
    told = evaluations(pools, pace, start, end)
    beats = _heartbeats(pools, told, end)
    pool = np.concatenate([told.pool, beats.pool])
    at = np.concatenate([told.at, beats.at])
    price = np.concatenate([told.price, beats.price])
    order = np.lexsort((at, pool))
    return with_carry_in(Records(pool[order], at[order], price[order]), start)


def with_carry_in(sorted_records: Records, start: int) -> Records:
    """Records from `start` on, and for each pool the last one before it."""
    pool, at = sorted_records.pool, sorted_records.at
    followed = np.zeros(len(at), dtype=bool)
    followed[:-1] = (pool[1:] == pool[:-1]) & (at[1:] < start)
    kept = ~followed
    return Records(pool[kept], at[kept], sorted_records.price[kept])


def hazard(pools: Pools, tau: Floats, hour: Floats) -> Floats:
    """Interruptions per day at τ and at an hour of the UTC day (arrays of shape pools × times)."""
    rank = 0.10 * pools.size_rank
    calm = 0.006 * np.exp(2.0 * (level(pools) - 0.45) + rank + 0.5 * _bell(pools, _RISK))
    busy = 1.0 + 0.4 * np.sin(2 * np.pi * (hour - 9.0) / 24.0)
    return np.asarray(calm[:, None] * np.exp(6.0 * np.maximum(pressure(pools, tau) - 0.25, 0.0)) * busy)


def interruptions(pools: Pools, pace: Pace, start: int, end: int) -> tuple[Ints, Ints]:
    """(pool row, second) of every interruption in [start, end]: a Poisson process thinned hour by hour of τ."""
    first, last = np.floor(pace.inner(np.array([float(start), float(end)])) * 24).astype(np.int64)
    hours = np.arange(first, last + 1, dtype=np.int64)
    tau = (hours + uniform(pools.keys[:, None], _STRIKE_AT, hours[None, :])) / 24
    at = pace.clock(tau)
    chance = 1.0 - np.exp(-hazard(pools, tau, at / 3600 % 24) / 24)
    row, column = np.nonzero(uniform(pools.keys[:, None], _STRIKE, hours[None, :]) < chance)
    second = np.floor(at[row, column]).astype(np.int64)
    kept = (second >= start) & (second <= end)
    return row[kept], second[kept]


def in_blocks(count: int, width: float) -> Sequence[Ints]:
    """Rows 0..count in blocks whose tables of `width` columns stay small."""
    size = max(1, int(2_000_000 / max(width, 1.0)))
    return [np.arange(at, min(at + size, count), dtype=np.int64) for at in range(0, count, size)]
