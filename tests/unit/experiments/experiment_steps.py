"""Experiments, scorers and rows that the tests of this room share."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from services.live.experiments.experiment import Arm, Experiment, GuardRule, Kind
from services.live.experiments.split import BUCKETS, Split
from services.models.activation import Activations
from services.models.scorer import Matrix, Scorer, Vector
from services.models.slots import Slots
from services.models.version import ModelVersion, Task
from services.store.protocol import Store
from tests.unit.live.live_blocks import version

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
CONTROL, CHALLENGER = "echo:v1", "echo:v2"


class Steady:
    """A scorer that says its number of every row; `broken` makes it raise."""

    features = ("price", "hour")

    def __init__(self, number: float) -> None:
        self.number = number
        self.broken = False
        self.calls = 0

    def score(self, matrix: Matrix) -> Vector:
        self.calls += 1
        if self.broken:
            raise RuntimeError("a tree fell over")
        return np.full(len(matrix), self.number)

    def close(self) -> None:
        return None


class Stable:
    """Two versions of a task, `echo:v1` says 0.1 and `echo:v2` 0.2; the first is active."""

    def __init__(self, store: Store, task: Task = "spot_interruption") -> None:
        self.scorers = {CONTROL: Steady(0.1), CHALLENGER: Steady(0.2)}
        self.task: Task = task
        self.slots = Slots(self._load)
        self.activations = Activations(store)
        self.slots.activate(self.activations.activate(self.version(CONTROL), "test", NOW))

    def version(self, model_id: str) -> ModelVersion:
        """As the registry has it."""
        return version(task=self.task).model_copy(update={"model_id": model_id})

    def _load(self, model_id: str) -> tuple[Scorer, ModelVersion]:
        return self.scorers[model_id], self.version(model_id)


def experiment(
    weights: tuple[int, ...] = (5000, 5000),
    kind: Kind = "ab",
    task: Task = "spot_interruption",
    guard: GuardRule | None = None,
    **more: Any,
) -> Experiment:
    """`echo:v1` against `echo:v2`, `echo:v3`, …; in the shadow the weights are (10000, 0)."""
    shares = (BUCKETS, *(0 for _ in weights[1:])) if kind == "shadow" else weights
    names = ["control", "challenger", *(f"challenger-{place}" for place in range(2, len(weights)))]
    arms = tuple(
        Arm(arm=name, model_id=f"echo:v{place + 1}", weight=share)
        for place, (name, share) in enumerate(zip(names, shares, strict=True))
    )
    said: dict[str, Any] = {"experiment_id": "01EXPERIMENT", "started_at": NOW, "started_by": "test", **more}
    runs = Split.of(said["experiment_id"], list(shares)).runs()
    return Experiment(task=task, kind=kind, horizon_hours=6, arms=arms, runs=runs, guard=guard, **said)


def pool_ids(count: int) -> list[str]:
    """Pools that differ in their type alone."""
    return [f"us-east-1/us-east-1a/t{number}.large/Linux/UNIX" for number in range(count)]


def outcomes(
    arm: str, model_id: str, *, skill: float, pools: int = 40, per_pool: int = 25, seed: int = 1, first: int = 0
) -> pl.DataFrame:
    """Interruption rows of an arm: every third pool has many; a forecast of `skill` 1 knows it, one of 0 does not."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, pool in enumerate(pool_ids(first + pools)[first:]):
        rate = 0.6 if number % 3 == 0 else 0.1
        for _ in range(per_pool):
            struck = float(rng.random() < rate)
            value = float(np.clip(skill * rate + (1 - skill) * rng.random(), 0, 1))
            rows.append((model_id, arm, pool, value, struck, 0.3, 1))
    schema = ["model_id", "arm", "pool_id", "value", "outcome", "naive", "count"]
    return pl.DataFrame(rows, schema=schema, orient="row", schema_overrides={"count": pl.Int64()})


def later(minutes: float) -> datetime:
    """After `NOW`."""
    return NOW + timedelta(minutes=minutes)
