"""Small feature blocks, a scorer that answers with one of its columns, and slots that hold it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np

from gapfill.features.registry import NAMES
from services.live.board import FeatureBlock, TypeFacts
from services.models.activation import Pointer
from services.models.scorer import Matrix, Vector
from services.models.slots import Slots
from services.models.version import FeatureRange, ModelVersion, Task

NOW = datetime(2026, 3, 31, 12, 30, tzinfo=UTC)
POOLS = tuple(
    f"{region}/{region}{zone}/{kind}/Linux/UNIX"
    for region in ("eu-west-1", "us-east-1")
    for zone in "ab"
    for kind in ("c5.large", "m5.large")
)
TYPES = {kind: TypeFacts("x86_64", 0) for kind in ("c5.large", "m5.large")}


def block(seq: int = 1, at: datetime = NOW, pools: Sequence[str] = POOLS, price: float = 0.05) -> FeatureBlock:
    """A block in which every feature of every pool is `price`, observed an hour ago and known a second ago."""
    shape = (len(pools), len(NAMES))
    return FeatureBlock(
        seq=seq,
        as_of=at,
        market_id="sim:1",
        names=NAMES,
        pool_ids=tuple(pools),
        matrix=np.full(shape, price),
        imputed=np.zeros(shape, dtype=bool),
        observed_at=np.full(len(pools), (at - timedelta(hours=1)).timestamp()),
        known_at=np.full(len(pools), (at - timedelta(seconds=1)).timestamp()),
        types=TYPES,
    )


class Echo:
    """A scorer that answers with its first column; it remembers what it was asked."""

    def __init__(self, features: tuple[str, ...] = ("price", "hour")) -> None:
        self.features = features
        self.asked: list[Matrix] = []

    def score(self, matrix: Matrix) -> Vector:
        self.asked.append(matrix)
        return np.array(matrix[:, 0])

    def close(self) -> None:
        return None


def version(
    features: tuple[str, ...] = ("price", "hour"),
    task: Task = "spot_interruption",
    ranges: dict[str, FeatureRange] | None = None,
) -> ModelVersion:
    """A version `echo:<task>` with a horizon of 6 hours."""
    return ModelVersion(
        model_id=f"echo:{task}",
        name="echo",
        version=task,
        task=task,
        horizon_hours=6,
        features=features,
        trained_until=date(2026, 3, 28),
        uploaded_at=NOW,
        uploaded_by="test",
        sha256="0" * 64,
        size_bytes=1,
        filename="echo.pkl",
        format="pickle",
        estimator="tests.Echo",
        compiled=True,
        feature_ranges=ranges or {},
    )


def slots(*versions: ModelVersion) -> Slots:
    """Slots in which each of the versions is active, generation 1."""
    known = {v.model_id: v for v in versions}
    held = Slots(lambda model_id: (Echo(known[model_id].features), known[model_id]))
    for v in versions:
        held.activate(Pointer(model_id=v.model_id, generation=1, activated_at=NOW, by="test", task=v.task))
    return held
