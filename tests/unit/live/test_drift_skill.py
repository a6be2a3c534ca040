"""A fall of skill, from predictions and outcomes that the history really has; figures agree with scikit-learn's."""

import math
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sklearn.metrics import mean_absolute_error

from gapfill.frames import OUTCOMES, PREDICTIONS
from gapfill.history import History
from services.live.drift.skill import LedgerSkill
from services.models.version import ModelVersion
from services.store.sqlite import SqliteStore
from tests.unit.ledger.ledger_rows import points
from tests.unit.live.live_blocks import POOLS, version

HOUR = timedelta(hours=1)
MODEL = version(task="spot_price").model_copy(update={"horizon_hours": 1})
FIRST = MODEL.knows_until
NOW = FIRST + timedelta(days=10)


@pytest.fixture
def history(tmp_path: Path) -> History:
    made = History(tmp_path / "history", "sim:1")
    told = [(FIRST + n * HOUR, price(n)) for n in range(-24, 11 * 24)]
    made.append_prices(pl.concat([points(*told, pool=pool) for pool in POOLS]))
    return made


@pytest.fixture
def skills(history: History, tmp_path: Path) -> LedgerSkill:
    return LedgerSkill(history, SqliteStore(tmp_path / "store.sqlite3"))


def price(hour: int) -> int:
    """Micro-USD: a wave that the last price does not tell."""
    return 50_000 + round(10_000 * math.sin(hour * 1.3))


def predict(history: History, start: datetime, hours: int, origin: str, error: float) -> None:
    """Predictions an hour ahead that are off by `error` USD, in every pool, with what became of them."""
    rows: list[tuple[object, ...]] = []
    outcomes: list[tuple[object, ...]] = []
    for pool in POOLS:
        for n in range(hours):
            as_of = start + n * HOUR
            then = price(round((as_of - FIRST) / HOUR) + 1) / 1e6
            rows.append((MODEL.model_id, MODEL.task, pool, as_of, as_of + HOUR, as_of, origin, then + error, 1.0, []))
            last = price(round((as_of - FIRST) / HOUR)) / 1e6
            outcomes.append((MODEL.task, pool, as_of, as_of + HOUR, "observed", then, last, True))
    history.append_predictions(pl.DataFrame(rows, schema=PREDICTIONS, orient="row"))
    if origin != "gap":
        history.ledger.append_outcomes(pl.DataFrame(outcomes, schema=OUTCOMES, orient="row"))


def naive(start: datetime, hours: int) -> float:
    first = round((start - FIRST) / HOUR)
    last = [price(first + n) / 1e6 for n in range(hours)]
    then = [price(first + n + 1) / 1e6 for n in range(hours)]
    return float(mean_absolute_error(then, last))


def test_a_skill_that_fell_is_told_with_its_figures(history: History, skills: LedgerSkill) -> None:
    predict(history, FIRST, 3 * 24, "gap", 0.001)
    late = NOW - 25 * HOUR
    predict(history, late, 24, "live", 0.006)
    fall = skills.fall(MODEL, POOLS, NOW, HOUR)
    assert fall is not None
    assert (fall.measure, fall.predictions) == ("skill", 24 * len(POOLS))
    assert fall.before == pytest.approx(1 - 0.001 / naive(FIRST, 3 * 24), abs=0.01)
    assert fall.now == pytest.approx(1 - 0.006 / naive(late, 24), abs=0.01)


def test_a_skill_that_holds_is_none(history: History, skills: LedgerSkill) -> None:
    predict(history, FIRST, 3 * 24, "gap", 0.001)
    predict(history, NOW - 25 * HOUR, 24, "live", 0.0015)
    assert skills.fall(MODEL, POOLS, NOW, HOUR) is None


def test_where_the_gap_has_no_outcomes_the_first_answers_are_what_it_falls_from(
    history: History, skills: LedgerSkill
) -> None:
    predict(history, NOW - 25 * HOUR, 24, "live", 0.001)
    assert skills.fall(MODEL, POOLS, NOW, HOUR) is None
    later = NOW + timedelta(hours=24)
    predict(history, NOW - HOUR, 24, "live", 0.02)
    fall = skills.fall(MODEL, POOLS, later, HOUR)
    assert fall is not None
    assert fall.now == -1.0, "far worse than the last price"


def test_too_few_outcomes_say_nothing(history: History, skills: LedgerSkill) -> None:
    predict(history, NOW - 5 * HOUR, 4, "live", 0.02)
    assert skills.fall(MODEL, POOLS, NOW, HOUR) is None


def test_a_model_that_nobody_asked_has_none(skills: LedgerSkill) -> None:
    other: ModelVersion = MODEL.model_copy(update={"model_id": "nobody:v1"})
    assert skills.fall(other, POOLS, NOW, HOUR) is None
