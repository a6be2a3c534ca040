"""Two small models that are really trained, on the market's own history and the server's own features."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from io import BytesIO
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from examples.market_data import pull
from examples.sample_training import HORIZON_HOURS, Rows, build_rows
from gapfill.features.registry import NAMES

GAP_DAYS = 3
HISTORY_DAYS = 30
REGIONS = ("us-east-1", "eu-west-1")
TYPES = ("c5.large", "m5.large", "m5.xlarge")


@dataclass(frozen=True)
class TrainedModel:
    """An estimator, what its library answers, and what goes with its upload."""

    estimator: Any
    metadata: dict[str, Any]

    @property
    def features(self) -> tuple[str, ...]:
        """The names it was fitted with, in order."""
        return tuple(str(name) for name in self.estimator.feature_names_in_)

    @property
    def file(self) -> bytes:
        """The file to upload."""
        out = BytesIO()
        joblib.dump(self.estimator, out)
        return out.getvalue()

    def answers(self, features: list[dict[str, float]]) -> NDArray[np.float64]:
        """The library's own predictions for feature rows."""
        table = pd.DataFrame(features, columns=list(self.features))
        if self.metadata["task"] == "spot_price":
            return np.asarray(self.estimator.predict(table))
        return np.asarray(self.estimator.predict_proba(table)[:, 1])

    def thresholds(self, feature: str) -> list[float]:
        """Every value at which a tree decides by this feature."""
        place = self.features.index(feature)
        trees = [tree.tree_ for tree in self.estimator.estimators_.ravel()]
        return sorted({float(t) for tree in trees for t in tree.threshold[tree.feature == place]})


@dataclass(frozen=True)
class TrainedModels:
    """One model per task, and the last day whose data they have seen."""

    interruption: TrainedModel
    price: TrainedModel
    trained_until: date


def train(market_url: str) -> TrainedModels:
    """Train on the days before the gap."""
    until = datetime.now(UTC).date() - timedelta(days=GAP_DAYS)
    end = datetime.combine(until + timedelta(days=1), time.min, UTC)
    data = pull(REGIONS, TYPES, end - timedelta(days=HISTORY_DAYS), end, market_url)
    rows = build_rows(data, every_hours=5)
    chosen = rows.is_train | rows.is_test
    assert rows.interrupted is not None
    table = rows.features[chosen]
    struck = rows.interrupted[chosen]
    classifier = GradientBoostingClassifier(n_estimators=20, max_depth=3, random_state=1).fit(table, struck)
    regressor = GradientBoostingRegressor(n_estimators=20, max_depth=3, random_state=1)
    regressor.fit(table, rows.price_then[chosen])
    return TrainedModels(
        TrainedModel(classifier, _metadata("spot_interruption", rows, table)),
        TrainedModel(regressor, _metadata("spot_price", rows, table)),
        until,
    )


def _metadata(task: str, rows: Rows, table: pd.DataFrame) -> dict[str, Any]:
    return {
        "task": task,
        "horizon_hours": HORIZON_HOURS,
        "features": list(NAMES),
        "metrics": {"rows": float(len(table)), "test_rows": float(rows.is_test.sum())},
        "reference_sample": table.iloc[:: max(1, len(table) // 400)].round(9).to_dict(orient="records"),
    }
