"""A `GapPredictor` whose predictions are the price itself, so that a test can tell where each came from."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from gapfill.frames import PREDICTIONS
from gapfill.predicting import GapModel


class FakePredictor:
    """Predicts that the price stays; `seen` keeps the feature rows it was given."""

    def __init__(self, *models: GapModel) -> None:
        self.active = list(models)
        self.seen: list[pl.DataFrame] = []

    def models(self) -> Sequence[GapModel]:
        return tuple(self.active)

    def predict(self, model_id: str, features: pl.DataFrame) -> pl.DataFrame:
        self.seen.append(features)
        model = next((m for m in self.active if m.model_id == model_id), None)
        if model is None:
            raise KeyError(model_id)
        return features.select(
            pl.lit(model_id).alias("model_id"),
            pl.lit(model.task).alias("task"),
            "pool_id",
            "as_of",
            (pl.col("as_of") + timedelta(hours=model.horizon_hours)).alias("target_at"),
            pl.lit(datetime.now(UTC)).dt.cast_time_unit("us").alias("made_at"),
            pl.lit("gap").alias("origin"),
            pl.col("price").alias("value"),
            pl.lit(0.5).alias("confidence"),
            "imputed",
        ).cast(PREDICTIONS)


def model(knows_until: datetime, model_id: str = "stays:v1", task: str = "spot_price") -> GapModel:
    """A model whose data ends at `knows_until`."""
    return GapModel(model_id, task, 1, knows_until, ("price",))
