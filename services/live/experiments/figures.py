"""How good each arm's predictions were, with intervals by a bootstrap over pools.

A pool's rows hang together for days (prices stick, horizons overlap), and pools are what the split draws: so whole
pools are drawn, each with all its rows. What moves all pools at once is not in such an interval.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import bootstrap
from sklearn.calibration import calibration_curve

from services.models.scorer import Vector
from services.models.version import Task

LEVEL = 0.95
DRAWS = 2000
SEED = 20_260_101
# Numbers drawn at a time: bounds the memory.
DRAWN_AT_ONCE = 4_000_000
BINS = 10

Index = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True, slots=True)
class Enough:
    """From how much data on an arm is judged."""

    outcomes: int = 200
    pools: int = 10
    pools_of_each: int = 5  # interruptions: pools with one, and pools without; prices: pools whose price moved


ENOUGH = Enough()


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ArmRows:
    """What became known of an arm's predictions, n distinct ones: float64[n] each, and sums per pool, float64[pools].

    `value` what was predicted, `outcome` what happened (1 or 0; USD per hour), `naive` what was to be beaten.
    """

    task: Task
    value: Vector
    outcome: Vector
    answers: int
    pools: tuple[str, ...]
    n: Vector
    loss: Vector
    naive_loss: Vector
    excess: Vector
    outcomes: Vector

    @classmethod
    def of(cls, task: Task, rows: pl.DataFrame) -> "ArmRows":
        """From rows with `pool_id`, `value`, `outcome`, `naive` and `count`, none of them null."""
        power = 2 if task == "spot_interruption" else 1
        sums = (
            rows.with_columns(
                ((pl.col("value") - pl.col("outcome")).abs() ** power).alias("loss"),
                ((pl.col("naive") - pl.col("outcome")).abs() ** power).alias("naive_loss"),
                (pl.col("value") - pl.col("outcome")).alias("excess"),
            )
            .group_by("pool_id")
            .agg(pl.len().cast(pl.Float64).alias("n"), pl.col("loss", "naive_loss", "excess", "outcome").sum())
            .sort("pool_id")
        )
        loss, naive_loss, excess, outcomes = (
            sums[name].to_numpy() for name in ("loss", "naive_loss", "excess", "outcome")
        )
        return cls(
            task,
            rows["value"].to_numpy(),
            rows["outcome"].to_numpy(),
            int(rows["count"].sum()),
            tuple(sums["pool_id"]),
            sums["n"].to_numpy(),
            loss,
            naive_loss,
            excess,
            outcomes,
        )

    def skill(self, drawn: Index, axis: int = -1) -> Vector:
        """1 - loss / naive loss over some pools, repeats counted; -1 at the least, 0 where nothing was to be beaten."""
        naive = self.naive_loss[drawn].sum(axis=axis)
        lost = self.loss[drawn].sum(axis=axis)
        ratio = np.divide(lost, naive, out=np.ones_like(lost), where=naive > 0)
        return np.asarray(np.maximum(1.0 - ratio, -1.0))

    def mean_loss(self, drawn: Index, axis: int = -1) -> Vector:
        """The Brier score, or the mean absolute error in USD per hour."""
        return np.asarray(self.loss[drawn].sum(axis=axis) / self.n[drawn].sum(axis=axis))

    def mean_excess(self, drawn: Index, axis: int = -1) -> Vector:
        """The mean prediction less the mean outcome: 0 for a calibrated model."""
        return np.asarray(self.excess[drawn].sum(axis=axis) / self.n[drawn].sum(axis=axis))

    @property
    def places(self) -> Index:
        """Every pool once."""
        return np.arange(len(self.pools))

    def missing(self, enough: Enough = ENOUGH) -> list[str]:
        """What there is too little of, in words; nothing where the arm may be judged."""
        priced = self.task == "spot_price"
        moved, struck = int((self.naive_loss > 0).sum()), int((self.outcomes > 0).sum())
        spared = int((self.outcomes < self.n).sum())
        wanted = [("known outcomes", len(self.value), enough.outcomes), ("pools", len(self.pools), enough.pools)]
        if priced:
            wanted.append(("pools whose price moved", moved, enough.pools_of_each))
        else:
            wanted.append(("pools with an interruption", struck, enough.pools_of_each))
            wanted.append(("pools without one at some time", spared, enough.pools_of_each))
        return [f"{have} of {need} {what}" for what, have, need in wanted if have < need]


def interval(statistic: Callable[..., Vector], *samples: Index) -> Interval:
    """A figure over all pools with scipy's percentile interval when pools are drawn; several samples independently."""
    value = float(statistic(*samples))
    if max(len(sample) for sample in samples) < 2:
        return Interval(value, value, value)
    found = bootstrap(
        samples,
        lambda *drawn, axis: statistic(*(np.asarray(one, dtype=np.intp) for one in drawn), axis=axis),
        n_resamples=DRAWS,
        batch=max(1, DRAWN_AT_ONCE // max(len(sample) for sample in samples)),
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(value, float(found.low), float(found.high))


def quality(arm: ArmRows) -> dict[str, Any]:
    """One arm's figures; skill and calibration only where there is enough data."""
    told: dict[str, Any] = {
        "outcomes": len(arm.value),
        "answers": arm.answers,
        "pools": len(arm.pools),
        "missing": arm.missing(),
    }
    if told["missing"]:
        return told
    loss = "brier_score" if arm.task == "spot_interruption" else "mae_usd_per_hour"
    told[loss] = asdict(interval(arm.mean_loss, arm.places))
    told["skill"] = asdict(interval(arm.skill, arm.places))
    told["calibration"] = {"mean_excess": asdict(interval(arm.mean_excess, arm.places))}
    if arm.task == "spot_interruption":
        told["calibration"]["curve"] = reliability(arm)
    return told


def reliability(arm: ArmRows) -> list[dict[str, float]]:
    """Of each tenth of the probabilities that occurs: the mean prediction, how often it happened, and how many."""
    clipped = np.clip(arm.value, 0.0, 1.0)
    happened, predicted = calibration_curve(arm.outcome.astype(int), clipped, n_bins=BINS, strategy="uniform")
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], clipped), minlength=BINS)
    rows = zip(predicted, happened, counts[counts > 0], strict=True)
    return [{"predicted": float(p), "happened": float(h), "outcomes": int(n)} for p, h, n in rows]


def difference(control: ArmRows, challenger: ArmRows, *, paired: bool) -> Interval | None:
    """The challenger's skill less the control's; None without enough data of either.

    `paired` where both answered for the same pools (the shadow): the same pools are drawn for both.
    """
    if control.missing() or challenger.missing():
        return None
    if not paired:
        return interval(
            lambda ours, theirs, axis=-1: challenger.skill(theirs, axis) - control.skill(ours, axis),
            control.places,
            challenger.places,
        )
    place = {pool: index for index, pool in enumerate(control.pools)}
    both = [(place[pool], index) for index, pool in enumerate(challenger.pools) if pool in place]
    if len(both) < ENOUGH.pools:
        return None
    ours, theirs = (np.array(side, dtype=np.intp) for side in zip(*both, strict=True))
    return interval(
        lambda drawn, axis=-1: challenger.skill(theirs[drawn], axis) - control.skill(ours[drawn], axis),
        np.arange(len(both)),
    )
