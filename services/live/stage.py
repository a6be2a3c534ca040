"""Where the loop tells its events: appended to the store's log under the loop's lease, and trimmed there."""

from collections.abc import Mapping, Sequence
from typing import get_args

import polars as pl

from engines.contract import ClusterDecision, DecisionOutput
from services.live.board import FeatureBlock
from services.live.events import LOG, Kind, encode
from services.live.facts import TaskScores
from services.models.version import Task
from services.store.protocol import Lease, Store

LEASE = "live_loop"
LEASE_TTL_S = 30.0
TRIM_EVERY = 100
# What a task's value is called in an event's rows.
VALUE: dict[Task, str] = {"spot_interruption": "interruption_probability", "spot_price": "predicted_price"}


class Stage:
    """Appends events; every write is refused (`LeaseLost`) once another loop has taken over."""

    def __init__(self, store: Store, lease: Lease, keep: int) -> None:
        self._store = store
        self._lease = lease
        self._keep = keep
        self._last = {kind: entry.seq if (entry := store.latest(LOG, kind)) else 0 for kind in get_args(Kind)}

    def confirm(self) -> None:
        """Keep the lease; raises `LeaseLost`."""
        self._store.renew(self._lease, LEASE_TTL_S)

    def tell_predictions(self, block: FeatureBlock, scores: Mapping[Task, TaskScores]) -> int:
        """One event with a row per pool: its price, and what each active model says of it."""
        column = {name: block.matrix[:, i] for i, name in enumerate(block.names)}
        rows = pl.DataFrame(
            {
                "pool_id": block.pool_ids,
                "observed_at": block.observed_at,
                "known_at": block.known_at,
                "spot_price": column["price"],
                "on_demand_price": column["on_demand_price"],
            }
        )
        for task, told in scores.items():
            rows = rows.with_columns(
                pl.Series(VALUE[task], told.values),
                pl.Series(f"{VALUE[task]}_confidence", told.confidence),
                pl.Series(
                    f"{VALUE[task]}_imputed_features",
                    [told.imputed_names(row) for row in range(len(block.pool_ids))],
                    dtype=pl.List(pl.String),
                ),
            )
            if told.arms is not None:
                rows = rows.with_columns(
                    pl.Series(f"{VALUE[task]}_model_id", told.arms.model_ids),
                    pl.Series(f"{VALUE[task]}_arm", told.arms.names),
                )
        models = {
            task: {
                "model_id": told.version.model_id,
                "generation": told.generation,
                "horizon_hours": told.version.horizon_hours,
                **({"experiment_id": told.arms.experiment_id} if told.arms else {}),
            }
            for task, told in scores.items()
        }
        return self._tell("predictions", block, {"models": models}, rows.fill_nan(None))

    def tell_decisions(self, block: FeatureBlock, output: DecisionOutput, told: Sequence[ClusterDecision]) -> int:
        """One event with a row per cluster whose decision is new."""
        made_by = output.made_by.model_dump(mode="json") if output.made_by else None
        rows = pl.DataFrame(
            {
                "cluster_id": [decision.cluster_id for decision in told],
                "regions": [_regions(decision) for decision in told],
                "instance_types": [_instance_types(decision) for decision in told],
                "decision": [decision.model_dump_json() for decision in told],
            },
            schema_overrides={"regions": pl.List(pl.String()), "instance_types": pl.List(pl.String())},
        )
        return self._tell("decisions", block, {"made_by": made_by}, rows)

    def tell_drift(self, block: FeatureBlock, alerts: Sequence[str]) -> int:
        """One event with a row per new alert, each as JSON."""
        return self._tell("drift", block, {}, pl.DataFrame({"alert": alerts}))

    def _tell(self, kind: Kind, block: FeatureBlock, header: dict[str, object], rows: pl.DataFrame) -> int:
        body = encode(
            block.market_id, self._last[kind], {"as_of": block.as_of.isoformat().replace("+00:00", "Z"), **header}, rows
        )
        entry = self._store.append(LOG, kind, block.as_of, body, fence=self._lease)
        self._last[kind] = entry.seq
        if entry.seq % TRIM_EVERY == 0:
            self._store.trim(LOG, self._keep)
        return entry.seq


def _regions(decision: ClusterDecision) -> list[str]:
    return sorted({action.target.region for action in decision.recommendations if action.target})


def _instance_types(decision: ClusterDecision) -> list[str]:
    return sorted({action.target.instance_type for action in decision.recommendations if action.target})
