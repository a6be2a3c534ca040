"""The contract between the gap filler and whoever turns features into predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl


@dataclass(frozen=True, slots=True)
class GapModel:
    """An active model as far as a gap is concerned; `knows_until` is the first instant it has not seen."""

    model_id: str
    task: str
    horizon_hours: int
    knows_until: datetime
    features: tuple[str, ...]


class GapPredictor(Protocol):
    """Scores feature rows with active models. Read anew for each fill, so a swap is noticed."""

    def models(self) -> Sequence[GapModel]:
        """The active models, one per task; empty when none is."""
        ...

    def predict(self, model_id: str, features: pl.DataFrame) -> pl.DataFrame:
        """Rows of `features.compute` → `frames.PREDICTIONS` with origin "gap", one per row that can be scored.

        Raises KeyError when the model is no longer active.
        """
        ...


class NoPredictor:
    """A `GapPredictor` without models: fills pull prices and predict nothing."""

    def models(self) -> Sequence[GapModel]:
        """None."""
        return ()

    def predict(self, model_id: str, features: pl.DataFrame) -> pl.DataFrame:
        """Raises KeyError."""
        raise KeyError(model_id)
