"""How good predictions were: figures of scored rows, each null where there is nothing to draw it from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    mean_absolute_error,
    mean_absolute_percentage_error,
    roc_auc_score,
)

from services.live.ledger.settling import AWAITING, UNKNOWN
from services.models.scorer import Vector

GROUPS = ("model_id", "origin", "region", "instance_type", "pool_id", "experiment", "arm")
# Fewer known rows than this are called too few to say whether a forecast has skill.
LEAST_KNOWN = 30
RELIABILITY_BINS = 10
KNOWN = "known"
NOTHING = "no_predictions"
# Probabilities are kept off 0 and 1 by this, so that one sure and wrong answer does not make the log loss infinite.
EPSILON = 1e-6

PRICE_FIGURES = ("mae", "mape", "naive_mae", "skill")
PROBABILITY_FIGURES = (
    "brier", "base_rate", "base_rate_brier", "brier_skill", "log_loss", "roc_auc", "pr_auc", "mean_probability",
)  # fmt: skip
Row = dict[str, Any]


def accuracy(scored: pl.DataFrame, group_by: Sequence[str]) -> list[Row]:
    """One row per task and group of `scored.SCORED` rows: `figures` of each. `group_by` are of `GROUPS`."""
    keys = ["task", *group_by]
    groups = scored.partition_by(keys, as_dict=True, include_key=True)
    return [
        {**dict(zip(keys, key, strict=True)), **figures(rows)}
        for key, rows in sorted(groups.items(), key=lambda item: tuple(str(part) for part in item[0]))
    ]


def figures(rows: pl.DataFrame) -> Row:
    """The figures of one task's scored rows, weighted by their counts.

    `status` is `known` where at least one outcome counts; else `awaiting_actuals` where some are not due yet, `unknown`
    where all due ones cannot be known, `no_predictions` without any; all figures are null then. `skillful` says whether
    the forecast beats the naive one (last value; base rate of the same rows), null below 30 known rows or where the
    naive one cannot be beaten because nothing ever happened.
    """
    known = rows.filter("counts").drop_nulls(["value", "outcome"])
    tally = {
        "predictions": rows.height,
        "answers": int(rows["count"].sum()),
        "known": known.height,
        "unknown": rows.filter(pl.col("status") == UNKNOWN).height,
        "awaiting": rows.filter(pl.col("status") == AWAITING).height,
        "not_counted": rows.filter(~pl.col("counts"), ~pl.col("status").is_in([UNKNOWN, AWAITING])).height,
    }
    is_price = rows.height > 0 and rows["task"][0] == "spot_price"
    told: Row = _status(tally)
    if not known.height:
        names = PRICE_FIGURES if is_price else (*PROBABILITY_FIGURES, "reliability")
        return {**tally, **told, **dict.fromkeys(names), "skillful": None}
    return {**tally, **told, **(_price(known) if is_price else _probability(known))}


def _status(tally: Row) -> Row:
    order = ((KNOWN, tally["known"]), (AWAITING, tally["awaiting"]), (UNKNOWN, tally["predictions"]))
    return {"status": next((word for word, count in order if count), NOTHING)}


def _price(known: pl.DataFrame) -> Row:
    actual, value, weight = _columns(known, "outcome", "value", "count")
    against = known.drop_nulls("naive")
    mae_there = naive_mae = None
    if against.height:
        then, told, naive, heavy = _columns(against, "outcome", "value", "naive", "count")
        naive_mae = float(mean_absolute_error(then, naive, sample_weight=heavy))
        mae_there = float(mean_absolute_error(then, told, sample_weight=heavy))
    skill = _skill(mae_there, naive_mae)
    nonzero = actual != 0.0
    return {
        "mae": float(mean_absolute_error(actual, value, sample_weight=weight)),
        "mape": (
            float(mean_absolute_percentage_error(actual[nonzero], value[nonzero], sample_weight=weight[nonzero]))
            if nonzero.any()
            else None
        ),
        "naive_mae": naive_mae,
        "skill": skill,
        "skillful": _skillful(against.height, mae_there, naive_mae),
    }


def _probability(known: pl.DataFrame) -> Row:
    struck, value, weight = _columns(known, "outcome", "value", "count")
    sure = np.clip(value, 0.0, 1.0)
    rate = float(np.average(struck, weights=weight))
    brier = float(brier_score_loss(struck, sure, sample_weight=weight, pos_label=1))
    base = rate * (1.0 - rate)  # the Brier score of always saying the base rate
    both = 0.0 < rate < 1.0
    return {
        "brier": brier,
        "base_rate": rate,
        "base_rate_brier": base,
        "brier_skill": _skill(brier, base),
        "log_loss": float(log_loss(struck, np.clip(sure, EPSILON, 1 - EPSILON), sample_weight=weight, labels=[0, 1])),
        "roc_auc": float(roc_auc_score(struck, sure, sample_weight=weight)) if both else None,
        "pr_auc": float(average_precision_score(struck, sure, sample_weight=weight)) if rate > 0.0 else None,
        "mean_probability": float(np.average(sure, weights=weight)),
        "reliability": reliability(struck, sure, weight),
        "skillful": _skillful(known.height, brier, base) if both else None,
    }


def reliability(struck: Vector, value: Vector, weight: Vector, bins: int = RELIABILITY_BINS) -> list[Row]:
    """The reliability curve: of each bin of equal width that has answers, what was said and how often it happened."""
    place = np.minimum((value * bins).astype(np.int64), bins - 1)
    answers = np.bincount(place, weight, bins)
    said = np.bincount(place, weight * value, bins)
    happened = np.bincount(place, weight * struck, bins)
    return [
        {
            "from": n / bins,
            "to": (n + 1) / bins,
            "answers": int(answers[n]),
            "predicted": float(said[n] / answers[n]),
            "observed": float(happened[n] / answers[n]),
        }
        for n in range(bins)
        if answers[n] > 0
    ]


def _skill(error: float | None, naive: float | None) -> float | None:
    """1 - error / naive error; null where the naive forecast makes none."""
    return None if error is None or not naive else 1.0 - error / naive


def _skillful(rows: int, error: float | None, naive: float | None) -> bool | None:
    if rows < LEAST_KNOWN or error is None or naive is None or (error == 0.0 and naive == 0.0):
        return None
    return error < naive


def _columns(rows: pl.DataFrame, *names: str) -> tuple[Vector, ...]:
    return tuple(rows[name].cast(pl.Float64).to_numpy() for name in names)
