"""How the arms of an experiment stand: what each did, how fast, and how well."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

import polars as pl

from gapfill.history import History
from services.live.experiments.counts import ArmCounts, counted
from services.live.experiments.experiment import Experiment
from services.live.experiments.figures import DRAWS, ENOUGH, LEVEL, ArmRows, Interval, difference, quality
from services.live.ledger.scored import scored_rows
from services.store.protocol import Store

PERCENTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
NOT_ENOUGH = "not_enough_data"
COLUMNS = ["model_id", "arm", "pool_id", "value", "outcome", "naive", "count"]


class Outcomes(Protocol):
    """What became known of an experiment's predictions."""

    def rows(self, experiment: Experiment, now: datetime) -> pl.DataFrame:
        """Distinct predictions with a known outcome that counts: `COLUMNS`, none of them null."""
        ...


class LedgerOutcomes:
    """`Outcomes` from the ledger: live and served rows, those of the shadow too."""

    def __init__(self, history: History) -> None:
        self._history = history

    def rows(self, experiment: Experiment, now: datetime) -> pl.DataFrame:
        """See `Outcomes`."""
        found = scored_rows(
            self._history,
            experiment.started_at,
            now,
            now,
            experiment=experiment.experiment_id,
            origins=("live", "served"),
            task=experiment.task,
        )
        return found.filter("counts").select(COLUMNS).drop_nulls()


def counts_of(store: Store, experiment: Experiment) -> dict[str, ArmCounts]:
    """Every arm's figures, as the processes last wrote them."""
    found = counted(store, experiment.experiment_id)
    return {arm.arm: found.get(arm.arm, ArmCounts()) for arm in experiment.arms}


def arm_rows(experiment: Experiment, rows: pl.DataFrame) -> dict[str, ArmRows]:
    """`Outcomes.rows` by arm; what the control answered in another arm's place belongs to no arm."""
    models = {arm.arm: arm.model_id for arm in experiment.arms}
    own = rows.filter(pl.col("model_id") == pl.col("arm").replace_strict(models, default=None))
    if experiment.task == "spot_interruption" and own.height:
        # One rate for all arms, so that each is held against the same.
        own = own.with_columns(pl.lit(own["outcome"].mean()).alias("naive"))
    return {arm: ArmRows.of(experiment.task, own.filter(pl.col("arm") == arm)) for arm in models}


def standing_of(
    experiment: Experiment, counts: Mapping[str, ArmCounts], rows: pl.DataFrame, pool_ids: Sequence[str] = ()
) -> dict[str, Any]:
    """Every arm's activity and quality, and each challenger held against the control; `pool_ids` are tracked now."""
    tracked = pools_by_arm(experiment, pool_ids)
    by_arm = arm_rows(experiment, rows)
    control = by_arm[experiment.control.arm]
    paired = experiment.kind == "shadow"
    comparisons = []
    for arm in experiment.arms[1:]:
        found = difference(control, by_arm[arm.arm], paired=paired)
        missing = [f"{name}: {what}" for name in (experiment.control.arm, arm.arm) for what in by_arm[name].missing()]
        comparisons.append(
            {
                "arm": arm.arm,
                "against": experiment.control.arm,
                "skill_difference": asdict(found) if found else None,
                "verdict": verdict(found),
                "missing": missing,
            }
        )
    return {
        "standing": {
            arm.arm: {
                "model_id": arm.model_id,
                "tracked_pools": tracked[arm.arm],
                **activity(counts[arm.arm]),
                "quality": quality(by_arm[arm.arm]),
            }
            for arm in experiment.arms
        },
        "comparisons": comparisons,
        "intervals": {"level": LEVEL, "method": "percentile bootstrap over pools", "draws": DRAWS, "paired": paired},
        "enough": asdict(ENOUGH),
    }


def verdict(found: Interval | None) -> str:
    """What an interval of a difference in skill says."""
    if found is None:
        return NOT_ENOUGH
    if found.low > 0:
        return "challenger_better"
    return "control_better" if found.high < 0 else "no_difference_shown"


def activity(counts: ArmCounts) -> dict[str, Any]:
    """One arm's figures for whoever looks."""
    return {
        "calls": counts.calls,
        "errors": counts.errors,
        "error_rate": counts.errors / counts.calls if counts.calls else None,
        "last_error": counts.last_error or None,
        "rows": {
            "served": counts.served,
            "ticked": counts.ticked,
            "shadow": counts.shadow,
            "fell_back": counts.fell_back,
            "dropped": counts.dropped,
        },
        "latency_ms": {
            "calls": sum(counts.times.values()),
            **{name: counts.percentile_ms(share) for name, share in PERCENTILES},
        },
    }


def pools_by_arm(experiment: Experiment, pool_ids: Sequence[str]) -> dict[str, int]:
    """How many of the tracked pools each arm answers for."""
    split, names = experiment.split, [arm.arm for arm in experiment.arms]
    found = dict.fromkeys(names, 0)
    for pool_id in pool_ids:
        found[names[split.arm_of(pool_id)]] += 1
    return found
