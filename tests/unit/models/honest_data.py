"""The small table that honest models are fitted on."""

from functools import cache
from typing import Any

import numpy as np
import xgboost

from tests.trained_models import table

ROWS = 160


@cache
def features() -> Any:
    """A table of rows to fit on."""
    return table().iloc[:ROWS]


@cache
def interrupted() -> Any:
    """Class 0 or 1 for each row, with both on either side of any line."""
    noise = np.random.default_rng(8).normal(0, 0.05, ROWS)
    return (features()["price_to_on_demand"] + noise > 0.3).astype(int)


@cache
def price() -> Any:
    """USD per hour for each row, above 0."""
    noise = np.random.default_rng(9).normal(0, 0.05, ROWS)
    return features()["price_usd"] * 1.1 + noise**2 + 0.01


def matrix(target: Any) -> Any:
    """XGBoost's own form of a table."""
    return xgboost.DMatrix(features(), target, nthread=1)
