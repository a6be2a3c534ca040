"""Small fitted models of every kind that is let in, made once per test session."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from services.models.version import Task

FEATURES = ("price_usd", "price_to_on_demand", "hour_utc", "vcpu")

CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "boosting": lambda: GradientBoostingClassifier(n_estimators=8, random_state=1),
    "boosting-exponential": lambda: GradientBoostingClassifier(n_estimators=8, loss="exponential", random_state=1),
    "boosting-stopped-early": lambda: GradientBoostingClassifier(
        n_estimators=200, n_iter_no_change=2, random_state=np.random.RandomState(1)
    ),
    "boosting-from-zero": lambda: GradientBoostingClassifier(n_estimators=4, init="zero", subsample=0.5),
    "forest": lambda: RandomForestClassifier(8, n_jobs=-1, random_state=1, class_weight="balanced"),
    "extra-trees": lambda: ExtraTreesClassifier(8, random_state=1),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=8, random_state=1),
    "tree": lambda: DecisionTreeClassifier(max_depth=5, random_state=1),
    "extra-tree": lambda: ExtraTreeClassifier(max_depth=5, random_state=1),
}
REGRESSORS: dict[str, Callable[[], Any]] = {
    "boosting-price": lambda: GradientBoostingRegressor(n_estimators=8, random_state=1),
    "boosting-huber-price": lambda: GradientBoostingRegressor(n_estimators=4, loss="huber", random_state=1),
    "forest-price": lambda: RandomForestRegressor(8, max_depth=6, random_state=1),
    "extra-trees-price": lambda: ExtraTreesRegressor(8, max_depth=6, random_state=1),
    "histogram-price": lambda: HistGradientBoostingRegressor(max_iter=8, random_state=1),
    "histogram-gamma-price": lambda: HistGradientBoostingRegressor(max_iter=8, loss="gamma", random_state=1),
    "tree-price": lambda: DecisionTreeRegressor(max_depth=5, random_state=1),
}
KINDS = (*CLASSIFIERS, *REGRESSORS)

# Let in, but scored as objects.
OBJECT_CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "calibrated": lambda: CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=4, random_state=1), cv=2),
}
OBJECT_REGRESSORS: dict[str, Callable[[], Any]] = {
    "ridge-price": lambda: make_pipeline(PolynomialFeatures(2), Ridge()),
}
OBJECT_KINDS = (*OBJECT_CLASSIFIERS, *OBJECT_REGRESSORS)


@dataclass(frozen=True)
class Trained:
    """A fitted model with the answers that its own library gives."""

    kind: str
    estimator: Any
    task: Task

    def reference(self, matrix: Any) -> Any:
        """float64[n] for float64[n, 4]."""
        table = pd.DataFrame(matrix, columns=list(FEATURES))
        if self.task == "spot_price":
            return self.estimator.predict(table)
        return self.estimator.predict_proba(table)[:, 1]


@cache
def table() -> pd.DataFrame:
    """600 rows of made-up features."""
    random = np.random.default_rng(7)
    columns = [
        random.gamma(2, 0.1, 600),
        random.beta(2, 5, 600),
        random.integers(0, 24, 600),
        2 ** random.integers(1, 6, 600),
    ]
    return pd.DataFrame(dict(zip(FEATURES, columns, strict=True)), dtype=float)


@cache
def trained(kind: str) -> Trained:
    """The model of a kind."""
    rows = table()
    noise = np.random.default_rng(8).normal(0, 0.05, len(rows))
    classifiers, regressors = CLASSIFIERS | OBJECT_CLASSIFIERS, REGRESSORS | OBJECT_REGRESSORS
    if kind in classifiers:
        target = (rows["price_to_on_demand"] + noise > 0.3).astype(int)
        return Trained(kind, classifiers[kind]().fit(rows, target), "spot_interruption")
    price = rows["price_usd"] * 1.1 + noise**2 + 0.01
    return Trained(kind, regressors[kind]().fit(rows, price), "spot_price")
