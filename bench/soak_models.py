"""Two versions of one model whose answers differ at every row, so that an answer says which of them it is from."""

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier

NAME = "soak"
FEATURES = ("price", "price_ratio", "price_mean_24h", "price_std_24h", "hour", "vcpu")
VERSIONS = ("v1", "v2")
ROWS = 800
TREES = 50


@dataclass(frozen=True)
class SoakModel:
    """A fitted version: its id and its estimator."""

    model_id: str
    estimator: Any

    def expects(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """What scikit-learn itself answers for float64[n, 6]."""
        table = pd.DataFrame(rows, columns=list(FEATURES))
        return np.asarray(self.estimator.predict_proba(table)[:, 1], np.float64)


@cache
def soak_models() -> dict[str, SoakModel]:
    """model_id → version; the second is fitted to the opposite of the first's target, with its own noise."""
    random = np.random.default_rng(5)
    table = _sample(random)
    struck = (table["price_ratio"] + random.normal(0, 0.1, ROWS) > 0.35).to_numpy()
    models = {}
    for number, version in enumerate(VERSIONS):
        target = struck if number == 0 else ~struck
        estimator = GradientBoostingClassifier(n_estimators=TREES, max_depth=3, random_state=number).fit(table, target)
        models[f"{NAME}:{version}"] = SoakModel(f"{NAME}:{version}", estimator)
    return models


def upload(api: httpx.Client) -> None:
    """Let the server have both versions; those that are there already stay."""
    known = {row["model_id"] for row in api.get("/models/list").json()}
    sample = _sample(np.random.default_rng(6)).head(100).round(6).to_dict(orient="records")
    metadata = {"task": "spot_interruption", "horizon_hours": 24, "features": FEATURES, "reference_sample": sample}
    until = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
    for model_id, model in soak_models().items():
        if model_id in known:
            continue
        file = io.BytesIO()
        joblib.dump(model.estimator, file)
        answer = api.post(
            "/models/upload",
            files={"file": ("soak.pkl", file.getvalue())},
            data={
                "model_name": NAME,
                "version": model_id.partition(":")[2],
                "trained_until_date": until,
                "metadata": json.dumps(metadata),
            },
        )
        answer.raise_for_status()


def _sample(random: np.random.Generator) -> pd.DataFrame:
    on_demand = random.uniform(0.05, 0.4, ROWS)
    ratio = random.beta(3, 5, ROWS)
    columns = [
        on_demand * ratio,
        ratio,
        on_demand * ratio * random.normal(1, 0.05, ROWS),
        np.abs(random.normal(0, 0.01, ROWS)),
        random.integers(0, 24, ROWS),
        2.0 ** random.integers(1, 4, ROWS),
    ]
    return pd.DataFrame(dict(zip(FEATURES, columns, strict=True)), dtype=float)
