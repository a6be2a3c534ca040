"""Scored rows: which predictions a window has, of whom, and what may be drawn from them."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gapfill.history import History
from gapfill.scope import Scope
from services.live.ledger.scored import SCORED, looked_up, scored_rows
from services.live.ledger.settling import KEY
from tests.unit.ledger.ledger_rows import HOUR, NOW, A, B, C, exposures, made, points, predictions, served


@pytest.fixture
def history(tmp_path: Path) -> History:
    """An hour-ahead model in three pools and all origins, and an experiment with two arms; settled until 14:00."""
    found = History(tmp_path / "history", "sim:1")
    found.append_prices(points((NOW - 3 * HOUR, 30_000), (NOW + 1.5 * HOUR, 40_000)))
    found.append_prices(points((NOW - 3 * HOUR, 50_000), pool=C))
    live = [made("spot_price", NOW + n * HOUR, value=0.03) for n in range(4)]
    gap = [made("spot_price", NOW - HOUR, origin="gap", pool=pool, value=0.03) for pool in (A, C)]
    found.append_predictions(predictions(*live, *gap, made("spot_interruption", NOW, model_id="i:v1")))
    of_arms = [(*made("spot_price", NOW, origin="served", value=v), n) for v, n in ((0.031, 3), (0.032, 1))]
    for arm, row in zip("ab", of_arms, strict=True):
        found.ledger.append_served(served(row, batch=f"batch-{arm}", experiment="e1", arm=arm))
    what_if = served((*made("spot_price", NOW, origin="served", value=9.0), 1), batch="w")
    found.ledger.append_served(what_if.with_columns(pl.lit(value=True).alias("what_if")))
    found.ledger.append_exposures(exposures(("i-1", NOW - HOUR, True), ("i-1", NOW + 9 * HOUR, False)))
    due = found.scan_predictions().filter(pl.col("target_at") <= NOW + 2 * HOUR, pl.col("origin") != "gap")
    found.ledger.append_outcomes(looked_up(found, due.select(KEY).unique().collect(), NOW + 2 * HOUR, {}))
    return found


def test_a_window_is_of_what_became_due_in_it_and_what_is_awaited(history: History) -> None:
    rows = scored_rows(history, NOW, NOW + 2 * HOUR, NOW + 2 * HOUR, origins=("live",), task="spot_price")
    told = rows.select("as_of", "status", "outcome", "naive", "counts").rows()
    assert rows.schema == SCORED
    assert told == [(NOW, "observed", 0.03, 0.03, True)], "what is due at the window's end belongs to the next one"
    later = scored_rows(history, NOW, NOW + 3 * HOUR, NOW + 2.5 * HOUR, origins=("live",), task="spot_price")
    assert later.select("as_of", "status", "outcome").rows() == [
        (NOW, "observed", 0.03),
        (NOW + HOUR, "observed", 0.04),
        (NOW + 2 * HOUR, "awaiting_actuals", None),
    ]


@pytest.mark.parametrize(
    ("asked", "values"),
    [
        ({"experiment": "e1"}, [0.031, 0.032]),
        ({"experiment": "e1", "arm": "b"}, [0.032]),
        ({"experiment": "", "origins": ("served",)}, [9.0]),
        ({"origins": ("gap",), "scope": Scope(regions=("eu-west-1",))}, [0.03]),
        ({"scope": Scope.of_pools([B])}, []),
        ({"model_id": "i:v1"}, [0.5]),
        ({"model_id": "nobody:v1"}, []),
    ],
)
def test_filters(history: History, asked: dict[str, Any], values: list[float]) -> None:
    rows = scored_rows(history, NOW - HOUR, NOW + 2 * HOUR, NOW + 2 * HOUR, **asked)
    assert sorted(rows["value"]) == values


def test_what_is_shown_and_what_counts(history: History) -> None:
    rows = scored_rows(history, NOW - HOUR, NOW + 2 * HOUR, NOW + 2 * HOUR)
    told = {(r["origin"], r["pool_id"], r["value"]): (r["outcome"], r["count"], r["counts"]) for r in rows.to_dicts()}
    assert told["served", A, 9.0] == (0.03, 1, False), "a price that was made up"
    assert told["served", A, 0.031] == (0.03, 3, True)
    assert told["gap", C, 0.03] == (0.05, 1, True), "looked up, not kept"
    assert told["live", A, 0.5] == (0.0, 1, True)
    assert history.ledger.outcomes()["pool_id"].unique().to_list() == [A]


def test_a_ledger_without_rows(tmp_path: Path) -> None:
    rows = scored_rows(History(tmp_path / "none", "sim:1"), NOW, NOW + HOUR, NOW + HOUR)
    assert (rows.height, rows.schema) == (0, SCORED)
