"""How the arms of an experiment stand: what each did, how fast, and how well."""

from typing import Any

from services.live.experiments.counts import ArmCounts, counted
from services.live.experiments.experiment import Experiment
from services.store.protocol import Store

PERCENTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


def counts_of(store: Store, experiment: Experiment) -> dict[str, ArmCounts]:
    """Every arm's figures, as the processes last wrote them."""
    found = counted(store, experiment.experiment_id)
    return {arm.arm: found.get(arm.arm, ArmCounts()) for arm in experiment.arms}


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
