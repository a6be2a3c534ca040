"""How the two sample models are made: rows from history, a split in time, boosted trees, and honest metrics."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.metrics import brier_score_loss, roc_auc_score

from examples.market_data import MarketData
from gapfill.features import compute
from gapfill.features.registry import LONGEST_WINDOW, NAMES

# Of the simulated pools about one in 15 is interrupted within a day, one in 350 within an hour: a day gives a few
# thousand positive rows, an hour a few hundred that no tree of this size learns from.
HORIZON_HOURS = 24
_TEST_DAYS = 14
_MOST_ROWS = 20_000
_SAMPLE_ROWS = 500
_FEWEST_POSITIVES = 100

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """An estimator, the names it was fitted with, its metrics on later data, and a sample of its rows."""

    task: str
    estimator: Any
    metrics: dict[str, float]
    description: str
    sample: pd.DataFrame

    def metadata(self) -> dict[str, Any]:
        """What goes with the upload as `metadata`."""
        return {
            "task": self.task,
            "horizon_hours": HORIZON_HOURS,
            "features": list(self.sample.columns),
            "metrics": {name: round(value, 6) for name, value in self.metrics.items()},
            "description": self.description,
            "reference_sample": self.sample.round(9).to_dict(orient="records"),
        }


@dataclass(frozen=True)
class Rows:
    """Feature rows with what became of them; `is_test` rows lie after all others, a horizon apart."""

    features: pd.DataFrame
    price_then: Vector
    interrupted: NDArray[np.bool_] | None
    is_train: NDArray[np.bool_]
    is_test: NDArray[np.bool_]


def build_rows(data: MarketData, every_hours: int, seed: int = 0) -> Rows:
    """Rows at every `every_hours` of each pool, as far as windows and horizon lie within the data."""
    horizon = timedelta(hours=HORIZON_HOURS)
    first = (data.start + LONGEST_WINDOW).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    instants = pl.datetime_range(first, data.end - horizon, f"{every_hours}h", time_unit="us", eager=True).alias(
        "as_of"
    )
    pools = data.points.select(pl.col("pool_id").unique().sort())
    asks = pools.join(instants.to_frame(), how="cross")
    features = compute(data.points, asks, data.on_demand, data.instance_types)
    later = asks.with_columns(pl.col("as_of") + horizon)
    price_then = compute(data.points, later, data.on_demand, data.instance_types)["price"].to_numpy()
    table = features.select(NAMES).to_pandas()
    table["hours_since_launch"] = _any_ages(len(table), seed)
    known = table.notna().all(axis=1).to_numpy() & ~np.isnan(price_then)
    split = data.end - timedelta(days=_TEST_DAYS)
    before = (asks["as_of"] < split - horizon).to_numpy()
    after = (asks["as_of"] >= split).to_numpy()
    struck = None if data.interruptions is None else _interrupted(asks, data.interruptions, horizon)
    return Rows(table, price_then, struck, before & known, after & known)


def _any_ages(count: int, seed: int) -> Vector:
    """Ages, in hours, that say nothing: the market does not tell them, and the model must accept them all."""
    random = np.random.default_rng(seed)
    return np.where(random.random(count) < 0.5, 0.0, random.exponential(72.0, count))


def _interrupted(asks: pl.DataFrame, interruptions: pl.DataFrame, horizon: timedelta) -> NDArray[np.bool_]:
    """Whether an interruption falls in (as_of, as_of + horizon]."""
    following = (
        asks.with_row_index("row")
        .sort("as_of")
        .join_asof(
            interruptions.sort("at"),
            left_on="as_of",
            right_on="at",
            by="pool_id",
            strategy="forward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .sort("row")
    )
    return following.select((pl.col("at") - pl.col("as_of") <= horizon).fill_null(value=False)).to_series().to_numpy()


def fit_interruption(rows: Rows, seed: int = 0) -> Fitted | None:
    """P(interruption within the horizon); None where too few interruptions are known."""
    if rows.interrupted is None:
        return None
    chosen = _some(rows.is_train, seed)
    hit = rows.interrupted
    if hit[chosen].sum() < _FEWEST_POSITIVES or hit[rows.is_test].sum() < 1:
        return None
    model = GradientBoostingClassifier(
        n_estimators=100,
        max_depth=3,
        learning_rate=0.05,
        subsample=0.5,
        max_features=6,
        min_samples_leaf=200,
        random_state=seed,
    )
    model.fit(rows.features[chosen], hit[chosen])
    actual, base = hit[rows.is_test], float(hit[chosen].mean())
    predicted = model.predict_proba(rows.features[rows.is_test])[:, 1]
    brier = float(brier_score_loss(actual, predicted))
    climate = float(brier_score_loss(actual, np.full(len(actual), base)))
    metrics = {
        "auc": float(roc_auc_score(actual, predicted)),
        "brier": brier,
        "brier_base_rate": climate,
        "skill": 1.0 - brier / climate,
        "base_rate": base,
        "test_base_rate": float(actual.mean()),
        "train_rows": float(chosen.sum()),
        "test_rows": float(len(actual)),
    }
    words = (
        f"Probability of a spot interruption within {HORIZON_HOURS} h: 100 boosted trees on price history. Sample "
        f"model, trained on simulated interruptions; tested on the {_TEST_DAYS} days after its training data."
    )
    return Fitted("spot_interruption", model, metrics, words, _sample(rows.features[chosen], seed))


def fit_price(rows: Rows, seed: int = 0) -> Fitted:
    """The spot price at the horizon, USD per hour, by trees of which the first ones say "as it is now".

    A last value is hard to beat, and trees that must learn it from data do far worse than it. So the first trees are
    fitted to the identity on every price (AWS's have four decimals) up to the highest on-demand price, and the others
    to what history adds to it.
    """
    columns = [name for name in NAMES if name != "hours_since_launch"]
    table = rows.features[columns]
    ladder = np.arange(1, int(table["on_demand_price"].max() * 1e4) + 2) / 1e4
    steps = pd.DataFrame(0.0, index=range(len(ladder)), columns=columns).assign(price=ladder)
    model = GradientBoostingRegressor(
        n_estimators=14, max_depth=12, learning_rate=0.5, warm_start=True, random_state=seed
    )
    model.fit(steps, ladder)
    model.set_params(n_estimators=29, max_depth=2, subsample=0.5, min_samples_leaf=200, max_features=4)
    chosen = _some(rows.is_train, seed)
    model.fit(table[chosen], rows.price_then[chosen])
    predicted, actual = model.predict(table[rows.is_test]), rows.price_then[rows.is_test]
    last = table.loc[rows.is_test, "price"].to_numpy()
    words = (
        f"Spot price in {HORIZON_HOURS} h, USD per hour: boosted trees that start from the price now. Sample model; "
        f"skill is 1 - MSE / MSE of the last value on the {_TEST_DAYS} days after its training data."
    )
    metrics = _price_metrics(predicted, actual, last)
    metrics |= {"train_rows": float(chosen.sum()), "test_rows": float(len(actual))}
    return Fitted("spot_price", model, metrics, words, _sample(table[chosen], seed))


def _price_metrics(predicted: Vector, actual: Vector, last: Vector) -> dict[str, float]:
    squares, last_squares = float(((predicted - actual) ** 2).mean()), float(((last - actual) ** 2).mean())
    return {
        "mae": float(np.abs(predicted - actual).mean()),
        "mae_last_value": float(np.abs(last - actual).mean()),
        "rmse": squares**0.5,
        "rmse_last_value": last_squares**0.5,
        "skill": 1.0 - squares / last_squares if last_squares > 0 else 0.0,
    }


def _some(mask: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """At most `_MOST_ROWS` of the rows in a mask, so that a fit takes a second or two."""
    indices = np.flatnonzero(mask)
    if len(indices) <= _MOST_ROWS:
        return mask
    kept = np.zeros_like(mask)
    kept[np.random.default_rng(seed).choice(indices, _MOST_ROWS, replace=False)] = True
    return kept


def _sample(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Rows at random, and those with the extremes of each feature, so that the ranges of all rows are told."""
    table = table.reset_index(drop=True)
    extremes = pd.Index([*table.idxmin(), *table.idxmax()]).unique()
    others = table.drop(index=extremes)
    some = others.sample(min(len(others), _SAMPLE_ROWS - len(extremes)), random_state=seed)
    whole: pd.DataFrame = pd.concat([table.loc[extremes], some], ignore_index=True)
    return whole
