"""What an engine is told of each pool: its feature row, its predictions, and what its type is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import structlog
from numpy.typing import NDArray

from engines.contract import Architecture, PoolFacts
from gapfill.pools import Pool
from services.errors import ModelUnavailable, NoActiveModel, Unavailable
from services.live.board import FeatureBlock
from services.live.experiments.arms import Arms
from services.live.experiments.dividing import Divided, divide
from services.models.predictor import Scored, predict
from services.models.scorer import Vector
from services.models.slots import Slots
from services.models.version import TASKS, ModelVersion, Task

Places = NDArray[np.intp]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TaskScores:
    """One model's predictions for some pools of a block, with the version and generation that made them.

    `arms` is set while an experiment of the task runs: who answers for which of the rows.
    """

    version: ModelVersion
    generation: int
    scored: Scored
    arms: Divided | None = None

    @property
    def values(self) -> Vector:
        """What is told of each row, float64[n]: its arm's prediction."""
        return self.scored.values if self.arms is None else self.arms.values

    @property
    def confidence(self) -> Vector:
        """Of `values`, float64[n]."""
        return self.scored.confidence.total if self.arms is None else self.arms.confidence

    def imputed_names(self, row: int) -> list[str]:
        """The imputed features of one row."""
        if self.arms is None:
            return self.scored.imputed_names(row, self.version.features)
        return self.arms.imputed_names(row)


def score_block(
    block: FeatureBlock, slots: Slots, places: Places | None = None, arms: Arms | None = None
) -> dict[Task, TaskScores]:
    """The active models' predictions for the block's pools (those at `places`); tasks without a model are absent.

    With `arms` the pools of a running experiment are divided among its models.
    """
    rows = slice(None) if places is None else places
    found: dict[Task, TaskScores] = {}
    for task in TASKS:
        try:
            loan = slots.lend(task)
        except NoActiveModel:
            continue
        with loan as lent:
            try:
                scored = predict(
                    lent.scorer,
                    lent.version,
                    block.names,
                    block.matrix[rows],
                    block.imputed[rows],
                    block.silence_h(rows),
                )
            except (ModelUnavailable, Unavailable) as error:
                # A model in a process of its own has broken down: the other task's predictions must not go with it.
                _log.warning("model_not_answering", task=task, model_id=lent.version.model_id, error=str(error)[:400])
                continue
            divided = None
            if arms is not None and (trial := arms.trial(task, lent.version.model_id)) is not None:
                divided = divide(trial, arms.tally, lent, scored, block, rows)
            found[task] = TaskScores(lent.version, lent.generation, scored, divided)
    return found


def pool_facts(
    block: FeatureBlock,
    scores: Mapping[Task, TaskScores],
    places: Places | None = None,
    named: Mapping[str, Vector] | None = None,
) -> tuple[PoolFacts, ...]:
    """Facts of the block's pools (those at `places`, as in `scores`); those without a price are left out.

    `named` are the predictions of models that an engine names, over the same rows.
    """
    indices = np.arange(len(block.pool_ids)) if places is None else places
    column = {name: i for i, name in enumerate(block.names)}
    facts = []
    for row, index in enumerate(indices):
        values = block.matrix[index]
        price, vcpu, memory = (values[column[name]] for name in ("price", "vcpu", "memory_gib"))
        if np.isnan(price) or np.isnan(vcpu) or np.isnan(memory):
            continue
        pool = Pool.parse(block.pool_ids[index])
        made_of = block.types.get(pool.instance_type)
        on_demand = values[column["on_demand_price"]]
        facts.append(
            PoolFacts(
                pool_id=pool.pool_id,
                region=pool.region,
                availability_zone=pool.zone,
                instance_type=pool.instance_type,
                product_description=pool.product,
                price=float(price),
                on_demand_price=None if np.isnan(on_demand) else float(on_demand),
                vcpu=float(vcpu),
                memory_gib=float(memory),
                gpus=made_of.gpus if made_of else 0,
                architecture=cast(Architecture, made_of.architecture if made_of else "x86_64"),
                features={n: None if np.isnan(v) else float(v) for n, v in zip(block.names, values, strict=True)},
                observed_at=_instant(block.observed_at[index]),
                data_as_of=_instant(block.known_at[index]) or block.as_of,
                simulated=block.simulated,
                predictions={n: float(v[row]) for n, v in (named or {}).items() if not np.isnan(v[row])},
                **_predicted(scores, row),
            )
        )
    return tuple(facts)


def _predicted(scores: Mapping[Task, TaskScores], row: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if interruption := scores.get("spot_interruption"):
        value = float(interruption.values[row])
        if not np.isnan(value):
            found["interruption_probability"] = min(max(value, 0.0), 1.0)
            found["horizon_hours"] = float(interruption.version.horizon_hours)
            found["confidence"] = float(interruption.confidence[row])
    if price := scores.get("spot_price"):
        value = float(price.values[row])
        if not np.isnan(value) and value > 0:
            found["predicted_price"] = value
            found["predicted_price_horizon_hours"] = float(price.version.horizon_hours)
    return found


def _instant(seconds: float) -> datetime | None:
    return None if np.isnan(seconds) else datetime.fromtimestamp(float(seconds), UTC)
