"""The soak's short form on a whole server: swaps under load in order and complete, and confined models behind Ray."""

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from bench import soak_models
from bench.soak_load import Load, Swap, steps_back, wrong_pairs, wrong_values
from tests.running_server import RunningServer, eventually

# A whole server answers here, on whatever machine this is.
pytestmark = pytest.mark.timeout(600)

SWAPS = 10
CONNECTIONS = 4
FEATURES = ("price_ratio", "vcpu")


@contextmanager
def restored(api: httpx.Client) -> Iterator[None]:
    """Whatever is activated inside, the model from before is active again at the end."""
    before = api.post("/predict/spot-interruption", json={"instance_type": "m5.large", "region": "us-east-1"})
    try:
        yield
    finally:
        api.post("/models/activate", json={"model_id": before.json()["model_id"]}).raise_for_status()


def swapped(api: httpx.Client, model_id: str) -> Swap:
    """Activate; the times do not matter here, only their order."""
    began = datetime.now(UTC).timestamp()
    answer = api.post("/models/activate", json={"model_id": model_id})
    answer.raise_for_status()
    return Swap(began, began, model_id, answer.json()["generation"])


def answered(load: Load, count: int) -> bool:
    """Whether so many answers have come."""
    return len(load.answers) >= count


def test_swaps_under_load_lose_nothing_and_mix_nothing(server: RunningServer) -> None:
    with server.client() as api, restored(api):
        soak_models.upload(api)
        swaps = [swapped(api, f"{soak_models.NAME}:v2")]
        load = Load(server.url, server.token, CONNECTIONS)
        loading = threading.Thread(target=lambda: asyncio.run(load.run()))
        loading.start()
        try:
            for number in range(SWAPS):
                wanted = len(load.answers) + 3 * CONNECTIONS
                swaps.append(swapped(api, f"{soak_models.NAME}:v{1 + number % 2}"))
                # Each version answers for a while, whatever the machine's speed.
                eventually(partial(answered, load, wanted), 60, "answers")
        finally:
            load.stopped = True
            loading.join()
    assert load.failures == []
    first = swaps[0].generation
    assert [swap.generation for swap in swaps] == list(range(first, first + SWAPS + 1))
    assert {answer.generation for answer in load.answers} == {swap.generation for swap in swaps}
    assert wrong_values(load.answers) == 0
    assert wrong_pairs(load.answers, swaps) == 0
    assert steps_back(load.answers) == 0


def confined(api: httpx.Client) -> tuple[str, Any]:
    """Upload a model that does not compile; its id and its estimator."""
    random = np.random.default_rng(4)
    table = pd.DataFrame({"price_ratio": random.beta(2, 4, 200), "vcpu": 2.0 ** random.integers(1, 4, 200)})
    estimator = LogisticRegression().fit(table, table["price_ratio"] > 0.3)
    file = io.BytesIO()
    joblib.dump(estimator, file)
    form = {
        "model_name": "confined",
        "version": "v1",
        "trained_until_date": (datetime.now(UTC) - timedelta(days=2)).date().isoformat(),
        "metadata": json.dumps({"features": FEATURES, "reference_sample": table.head(50).to_dict(orient="records")}),
    }
    answer = api.post("/models/upload", files={"file": ("c.pkl", file.getvalue())}, data=form)
    answer.raise_for_status()
    return str(answer.json()["model_id"]), estimator


def test_a_confined_model_is_scored_in_the_model_loader_and_ticks_too(server: RunningServer) -> None:
    ask = {"instance_type": "m5.large", "region": "us-east-1"}
    with server.client() as api, restored(api):
        model_id, estimator = confined(api)
        importance = api.get(f"/models/{model_id}").json()["importance_from"]
        answer = api.post("/models/activate", json={"model_id": model_id})
        answer.raise_for_status()
        told = api.post("/predict/spot-interruption?include=features", json=ask).json()
        rows = pd.DataFrame([told["features"]], columns=list(FEATURES))

        def ticked() -> bool:
            live = api.get("/predictions/latest").json()["models"].get("spot_interruption", {})
            return bool(live.get("model_id") == model_id)

        eventually(ticked, 60, "a tick with the confined model")
    assert (told["model_id"], told["generation"]) == (model_id, answer.json()["generation"])
    assert told["interruption_probability"] == pytest.approx(estimator.predict_proba(rows)[0, 1], rel=1e-12)
    assert importance in ("model", "permutation_on_predictions")
