"""The active models over a gap: which they are, from when on they know nothing, and their predictions as rows."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from gapfill.features.registry import NAMES
from gapfill.frames import INSTANT, PREDICTIONS
from services.models.activation import Activations
from services.models.gap_predictor import ActiveModels
from services.models.slots import Slots
from services.store.sqlite import SqliteStore
from tests.unit.live.live_blocks import NOW, POOLS, Echo, version

VERSIONS = {v.model_id: v for v in (version(), version(("price",), "spot_price"))}


@pytest.fixture
def models(tmp_path: Path) -> tuple[ActiveModels, Activations]:
    activations = Activations(SqliteStore(tmp_path / "store.sqlite3"))
    slots = Slots(lambda model_id: (Echo(VERSIONS[model_id].features), VERSIONS[model_id]))
    return ActiveModels(activations, slots), activations


def features(prices: list[float | None]) -> pl.DataFrame:
    """Rows as `gapfill.features.compute` returns them, one per hour."""
    count = len(prices)
    return pl.DataFrame(
        {
            "pool_id": [POOLS[0]] * count,
            "as_of": pl.Series([NOW + timedelta(hours=n) for n in range(count)], dtype=INSTANT),
            **{name: prices if name == "price" else [1.0] * count for name in NAMES},
            "imputed": [["hour"] if n == 0 else [] for n in range(count)],
            "observed_at": pl.Series([NOW + timedelta(hours=n) for n in range(count)], dtype=INSTANT),
        }
    )


def test_models_appear_when_they_are_activated(models: tuple[ActiveModels, Activations]) -> None:
    active, activations = models
    assert active.models() == []
    activations.activate(VERSIONS["echo:spot_interruption"], "me", NOW)
    (model,) = active.models()
    assert (model.model_id, model.task, model.horizon_hours) == ("echo:spot_interruption", "spot_interruption", 6)
    assert model.knows_until == datetime(2026, 3, 29, tzinfo=UTC), "the end of the day it was trained until"
    activations.activate(VERSIONS["echo:spot_price"], "me", NOW)
    assert {one.task for one in active.models()} == {"spot_interruption", "spot_price"}


def test_predictions_are_rows_of_the_history(models: tuple[ActiveModels, Activations]) -> None:
    active, activations = models
    activations.activate(VERSIONS["echo:spot_interruption"], "me", NOW)
    active.models()
    made = active.predict("echo:spot_interruption", features([0.25, None, 0.5]))
    assert made.schema == PREDICTIONS
    assert made["value"].to_list() == [0.25, 0.5], "what cannot be scored is left out"
    assert made["as_of"].to_list() == [NOW, NOW + timedelta(hours=2)]
    assert made["target_at"].to_list() == [NOW + timedelta(hours=6), NOW + timedelta(hours=8)]
    assert made["imputed"].to_list() == [["hour"], []]
    assert made["confidence"].to_list() == [0.5, 1.0]
    assert made["origin"].unique().to_list() == ["gap"]


def test_a_model_that_was_swapped_away_predicts_no_more(models: tuple[ActiveModels, Activations]) -> None:
    active, _ = models
    with pytest.raises(KeyError):
        active.predict("echo:spot_interruption", features([0.25]))
