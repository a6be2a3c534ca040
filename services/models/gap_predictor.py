"""The active models as the gap filler sees them: what they know until when, and their predictions over the gap."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import polars as pl

from gapfill.features.registry import NAMES
from gapfill.frames import PREDICTIONS
from gapfill.predicting import GapModel
from services.models.activation import Activations
from services.models.following import follow_pointers
from services.models.predictor import predict
from services.models.slots import Slots

_US_PER_HOUR = 3.6e9


class ActiveModels:
    """A `GapPredictor` over the slots of this process, brought up to date at each look."""

    def __init__(self, activations: Activations, slots: Slots) -> None:
        self._activations = activations
        self._slots = slots

    def models(self) -> Sequence[GapModel]:
        """The active models, one per task."""
        follow_pointers(self._slots, self._activations)
        return [
            GapModel(v.model_id, v.task, v.horizon_hours, v.knows_until, v.features)
            for v in self._slots.versions().values()
        ]

    def predict(self, model_id: str, features: pl.DataFrame) -> pl.DataFrame:
        """See `GapPredictor`."""
        if model_id not in {version.model_id for version in self._slots.versions().values()}:
            raise KeyError(model_id)
        with self._slots.lend_version(model_id) as lent:
            version = lent.version
            rows = features.select(pl.col(NAMES).cast(pl.Float64)).to_numpy()
            flags = np.column_stack(
                [features["imputed"].list.contains(name).fill_null(value=False).to_numpy() for name in NAMES]
            ).astype(bool)
            silence_h = (
                ((features["as_of"] - features["observed_at"]).dt.total_microseconds() / _US_PER_HOUR)
                .cast(pl.Float64)
                .to_numpy()
            )
            scored = predict(lent.scorer, version, NAMES, rows, flags, silence_h)
        columns = pl.DataFrame(
            {
                "pool_id": features["pool_id"],
                "as_of": features["as_of"],
                "value": scored.values,
                "confidence": scored.confidence.total,
                "imputed": [scored.imputed_names(row, version.features) for row in range(features.height)],
            },
            schema_overrides={"imputed": pl.List(pl.String())},
        )
        return (
            columns.filter(pl.col("value").is_not_nan())
            .with_columns(
                pl.lit(version.model_id).alias("model_id"),
                pl.lit(version.task).alias("task"),
                (pl.col("as_of") + pl.duration(hours=version.horizon_hours)).alias("target_at"),
                pl.lit(datetime.now(UTC)).cast(PREDICTIONS["made_at"]).alias("made_at"),
                pl.lit("gap").alias("origin"),
            )
            .select(*PREDICTIONS)
        )
