"""Figures agree with scikit-learn's own on the same rows, weights included; nothing is drawn from nothing."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from services.live.ledger.accuracy import LEAST_KNOWN, PRICE_FIGURES, PROBABILITY_FIGURES, accuracy, figures
from services.live.ledger.scored import SCORED
from tests.unit.ledger.ledger_rows import HOUR, NOW, A, B

CHANCE = np.random.default_rng(11)


def scored(task: str, value: Any, outcome: Any, naive: Any = None, count: Any = 1, **columns: Any) -> pl.DataFrame:
    """`SCORED` rows, all observed unless `columns` say otherwise."""
    size = len(value)
    row = {
        "model_id": "m:v1", "task": task, "experiment": "", "arm": "", "origin": "live", "region": "us-east-1",
        "instance_type": "m5.large", "pool_id": A, "as_of": NOW, "target_at": NOW + HOUR, "value": value,
        "count": count, "status": "observed", "outcome": outcome, "naive": naive, "counts": True,
    } | columns  # fmt: skip
    spread = {name: list(v) if isinstance(v, list | np.ndarray) else [v] * size for name, v in row.items()}
    return pl.DataFrame(spread, schema=SCORED, strict=False)


def test_probabilities_agree_with_scikit_learn() -> None:
    value = CHANCE.uniform(0, 1, 600)
    struck = (CHANCE.uniform(0, 1, 600) < value**2).astype(float)
    count = CHANCE.integers(1, 9, 600)
    told = figures(scored("spot_interruption", value, struck, count=count))
    rate = np.average(struck, weights=count)
    theirs = {
        "brier": metrics.brier_score_loss(struck, value, sample_weight=count),
        "base_rate": rate,
        "base_rate_brier": metrics.brier_score_loss(struck, np.full(600, rate), sample_weight=count),
        "log_loss": metrics.log_loss(struck, value, sample_weight=count),
        "roc_auc": metrics.roc_auc_score(struck, value, sample_weight=count),
        "pr_auc": metrics.average_precision_score(struck, value, sample_weight=count),
    }
    assert {name: told[name] for name in theirs} == pytest.approx(theirs, abs=1e-9)
    assert told["brier_skill"] == pytest.approx(1 - theirs["brier"] / theirs["base_rate_brier"])
    # Repeating a row is the same as counting it, so scikit-learn's curve, which knows no weights, can be asked too.
    observed, predicted = calibration_curve(np.repeat(struck, count), np.repeat(value, count), n_bins=10)
    assert [row["observed"] for row in told["reliability"]] == pytest.approx(list(observed))
    assert [row["predicted"] for row in told["reliability"]] == pytest.approx(list(predicted))
    assert sum(row["answers"] for row in told["reliability"]) == told["answers"] == count.sum()


def test_prices_agree_with_scikit_learn() -> None:
    actual = CHANCE.uniform(0.01, 1, 400)
    value, naive = actual * CHANCE.normal(1, 0.02, 400), actual * CHANCE.normal(1, 0.05, 400)
    count = CHANCE.integers(1, 5, 400)
    told = figures(scored("spot_price", value, actual, naive, count))
    mae = metrics.mean_absolute_error(actual, value, sample_weight=count)
    naive_mae = metrics.mean_absolute_error(actual, naive, sample_weight=count)
    theirs = {
        "mae": mae,
        "mape": metrics.mean_absolute_percentage_error(actual, value, sample_weight=count),
        "naive_mae": naive_mae,
        "skill": 1 - mae / naive_mae,
    }
    assert {name: told[name] for name in theirs} == pytest.approx(theirs)
    assert told["skillful"] is True
    assert figures(scored("spot_price", naive, actual, value, count))["skillful"] is False


@pytest.mark.parametrize(
    ("status", "word"), [("awaiting_actuals", "awaiting_actuals"), ("unknown", "unknown")]
)  # fmt: skip
@pytest.mark.parametrize("task", ["spot_price", "spot_interruption"])
def test_without_outcomes_there_are_words_and_no_figures(task: str, status: str, word: str) -> None:
    rows = scored(task, [0.1, 0.2], None, None, status=status, counts=False)
    told = figures(rows)
    assert told["status"] == word
    names = PRICE_FIGURES if task == "spot_price" else (*PROBABILITY_FIGURES, "reliability")
    assert {told[name] for name in (*names, "skillful")} == {None}
    assert figures(rows.clear())["status"] == "no_predictions"


def test_what_is_known_goes_before_what_is_awaited() -> None:
    rows = pl.concat(
        [
            scored("spot_price", [0.1], [0.2], [0.2]),
            scored("spot_price", [0.1], [None], [None], status="awaiting_actuals", counts=False),
            scored("spot_price", [0.1], [None], [None], status="unknown", counts=False),
            scored("spot_price", [0.1], [0.3], [0.2], counts=False),  # a what-if: shown, not counted
        ]
    )
    told = figures(rows)
    tally = {name: told[name] for name in ("status", "predictions", "known", "unknown", "awaiting", "not_counted")}
    assert tally == {
        "status": "known", "predictions": 4, "known": 1, "unknown": 1, "awaiting": 1, "not_counted": 1,
    }  # fmt: skip
    assert told["mae"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("rows", "nulls"),
    [
        (scored("spot_interruption", [0.2, 0.4], [0.0, 0.0]), {"roc_auc", "pr_auc", "brier_skill", "skillful"}),
        (scored("spot_interruption", [0.2, 0.4], [1.0, 1.0]), {"roc_auc", "brier_skill", "skillful"}),
        (scored("spot_interruption", [1.0, 0.0], [0.0, 1.0]), {"skillful"}),  # sure, and wrong: not infinitely so
        (scored("spot_price", [0.1, 0.1], [0.1, 0.1], [0.1, 0.1]), {"skill", "skillful"}),
        (scored("spot_price", [0.1, 0.1], [0.2, 0.2], [None, None]), {"naive_mae", "skill", "skillful"}),
        (scored("spot_price", [0.1], [0.0], [0.1]), {"mape", "skillful"}),
    ],
)
def test_a_figure_that_nothing_can_be_drawn_from_is_null(rows: pl.DataFrame, nulls: set[str]) -> None:
    told = figures(rows)
    assert {name for name, value in told.items() if value is None} == nulls
    assert all(np.isfinite(value) for value in told.values() if isinstance(value, float))


def test_a_naive_forecast_that_never_errs_is_not_beaten_by_one_that_does() -> None:
    told = figures(scored("spot_price", [0.2] * LEAST_KNOWN, [0.1] * LEAST_KNOWN, [0.1] * LEAST_KNOWN))
    assert (told["skill"], told["skillful"]) == (None, False)


def test_too_few_outcomes_say_nothing_of_skill() -> None:
    few, enough = ([0.1] * n for n in (LEAST_KNOWN - 1, LEAST_KNOWN))
    assert figures(scored("spot_price", few, few, [0.2] * len(few)))["skillful"] is None
    assert figures(scored("spot_price", enough, enough, [0.2] * len(enough)))["skillful"] is True


def test_groups_are_told_apart() -> None:
    rows = pl.concat(
        [
            scored("spot_price", [0.1, 0.2], [0.2, 0.2], [0.2, 0.2], pool_id=[A, B]),
            scored("spot_interruption", [0.5], [1.0], origin="served"),
        ]
    )
    told = accuracy(rows, ["origin", "pool_id"])
    assert [(row["task"], row["origin"], row["pool_id"], row["known"]) for row in told] == [
        ("spot_interruption", "served", A, 1),
        ("spot_price", "live", A, 1),
        ("spot_price", "live", B, 1),
    ]
    assert [row["known"] for row in accuracy(rows, [])] == [1, 2]
    assert accuracy(rows.clear(), ["origin"]) == []


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(1, 5)), min_size=1, max_size=30),
    st.sampled_from(["spot_price", "spot_interruption"]),
)
def test_a_count_is_a_repetition(rows: list[tuple[float, bool, int]], task: str) -> None:
    value, outcome, count = ([row[n] for row in rows] for n in range(3))
    naive = [0.5] * len(rows)
    counted = figures(scored(task, value, [float(one) for one in outcome], naive, count))
    spread = [
        [one for one, n in zip(column, count, strict=True) for _ in range(int(n))] for column in (value, outcome, naive)
    ]
    repeated = figures(scored(task, spread[0], [float(one) for one in spread[1]], spread[2]))
    for name in (*PRICE_FIGURES, *PROBABILITY_FIGURES):
        assert counted.get(name) == pytest.approx(repeated.get(name), abs=1e-9), name
