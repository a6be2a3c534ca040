"""Swaps over HTTP: refused whole, in turn, and with models that are scored in a process of their own."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from itertools import pairwise
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from engines.sandbox import Program
from services.models import loading
from services.models.confined_scorer import ConfinedModel, ConfinedScorer
from services.models.quarantine import Quarantine
from tests.api.api_models import TrainedModel
from tests.api.api_server import Served
from tests.api.api_steps import activate, problem, upload

FEATURES = ("price_ratio", "vcpu")
ASK = {"instance_type": "m5.large", "region": "us-east-1"}
TIMEOUT_S = 3.0


@pytest.fixture(scope="module")
def logistic() -> TrainedModel:
    """A model that does not compile, without a reference sample: it is warmed up with zeros."""
    random = np.random.default_rng(2)
    table = pd.DataFrame({"price_ratio": random.beta(2, 4, 200), "vcpu": 2.0 ** random.integers(1, 4, 200)})
    estimator = LogisticRegression().fit(table, table["price_ratio"] > 0.3)
    return TrainedModel(estimator, {"task": "spot_interruption", "features": list(FEATURES), "horizon_hours": 24})


@pytest.fixture
def uploaded(admin: httpx.Client, logistic: TrainedModel) -> Iterator[Callable[[str], str]]:
    """Uploads the logistic model under a name; afterwards the model from before is active and these are gone."""
    before = admin.post("/predict/spot-interruption", json=ASK).json()["model_id"]
    model_ids: list[str] = []

    def put(name: str) -> str:
        file = BytesIO()
        joblib.dump(logistic.estimator, file)
        answer = upload(admin, file.getvalue(), name, metadata=logistic.metadata, trained_until=_today())
        assert answer.status_code == 201, answer.text
        model_ids.append(answer.json()["model_id"])
        return model_ids[-1]

    yield put
    activate(admin, before)
    for model_id in model_ids:
        assert admin.delete(f"/models/{model_id}").status_code == 200


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From now on confined models load as one of `scoring_programs`."""

    def choose(name: str) -> None:
        program = Program(f"tests.unit.models.scoring_programs:{name}")

        def scorer(model: ConfinedModel, quarantine: Quarantine, *_: Any) -> ConfinedScorer:
            changed = ConfinedModel(model.model_id, model.path, model.features, program)
            return ConfinedScorer(changed, quarantine, TIMEOUT_S)

        monkeypatch.setattr(loading, "ConfinedScorer", scorer)

    return choose


def predicted(api: httpx.Client, model_id: str | None = None) -> httpx.Response:
    return api.post(
        "/predict/spot-interruption?include=features", json=ASK | ({"model_id": model_id} if model_id else {})
    )


def test_a_model_that_does_not_compile_answers_as_its_library_does(
    admin: httpx.Client, logistic: TrainedModel, uploaded: Callable[[str], str]
) -> None:
    model_id = uploaded("logistic")
    asked = predicted(admin, model_id).json()
    told = activate(admin, model_id)
    answered = predicted(admin).json()
    assert (answered["model_id"], answered["generation"]) == (model_id, told["generation"])
    for one in (asked, answered):
        assert [one["interruption_probability"]] == pytest.approx(logistic.answers([one["features"]]), rel=1e-12)
    details = admin.get(f"/models/{model_id}").json()
    assert details["compiled"] is False
    (turn,) = details["activation_history"]
    assert (turn["from"], turn["to"], turn["generation"]) == (told["previous"], model_id, told["generation"])
    assert turn["by"]
    assert datetime.fromisoformat(turn["activated_at"]) <= datetime.now(UTC)


def test_a_swap_whose_warm_up_fails_changes_nothing_and_says_why(
    admin: httpx.Client, uploaded: Callable[[str], str], misbehaving: Callable[[str], None]
) -> None:
    model_id = uploaded("wild")
    before = predicted(admin).json()
    misbehaving("wild")
    told = problem(admin.post("/models/activate", json={"model_id": model_id}), 422, "model-refused")
    assert told["code"] == "warm-up-failed"
    assert "1.5" in told["detail"]
    after = predicted(admin).json()
    assert (after["model_id"], after["generation"]) == (before["model_id"], before["generation"])
    rows = {row["model_id"]: row["status"] for row in admin.get("/models/list").json()}
    assert (rows[model_id], rows[before["model_id"]]) == ("inactive", "active")
    assert admin.get(f"/models/{model_id}").json()["activation_history"] == []


def test_two_swaps_at_once_are_both_answered_one_after_the_other(
    admin: httpx.Client, uploaded: Callable[[str], str]
) -> None:
    wanted = [uploaded("first"), uploaded("second")] * 3
    before = predicted(admin).json()["generation"]
    with ThreadPoolExecutor(len(wanted)) as pool:
        told = sorted(pool.map(lambda model_id: activate(admin, model_id), wanted), key=lambda one: one["generation"])
    assert [one["generation"] for one in told] == list(range(before + 1, before + 1 + len(wanted)))
    for one, follower in pairwise(told):
        if one["model_id"] != follower["model_id"]:
            assert follower["previous"] == one["model_id"]
    answered = predicted(admin).json()
    assert (answered["model_id"], answered["generation"]) == (told[-1]["model_id"], told[-1]["generation"])


def test_a_model_that_hangs_holds_nobody_else_up_and_is_said_to(
    served: Served, admin: httpx.Client, uploaded: Callable[[str], str], misbehaving: Callable[[str], None]
) -> None:
    model_id = uploaded("hanging")
    misbehaving("hanging")
    found: list[httpx.Response] = []

    def ask() -> None:
        with served.client("admin") as api:
            found.append(predicted(api, model_id))

    asking = threading.Thread(target=ask)
    asking.start()
    answers = [predicted(admin).json() for _ in range(5)]
    assert not found, "the one that hangs is still waited for"
    assert {answer["model_id"] for answer in answers} != {model_id}
    asking.join(30)
    told = problem(found[0], 503, "model-timed-out")
    assert (told["model_id"], told["seconds"]) == (model_id, TIMEOUT_S)
    rest = predicted(admin, model_id)
    assert problem(rest, 503, "model-resting")["crashes"] == 1
    assert int(rest.headers["retry-after"]) >= 1
    counted = f'cloudoptim_model_breakdowns_total{{kind="timed_out",model_id="{model_id}"}} 1.0'
    assert counted in admin.get(served.address + "/metrics").text


def test_a_model_that_breaks_down_is_answered_with_words(
    admin: httpx.Client, uploaded: Callable[[str], str], misbehaving: Callable[[str], None]
) -> None:
    model_id = uploaded("ending")
    misbehaving("ending")
    told = problem(predicted(admin, model_id), 502, "model-crashed")
    assert "exit code 3" in told["detail"]
    assert json.dumps(told)
    assert predicted(admin).status_code == 200


def test_a_rollback_of_a_generation_that_is_gone_is_refused(admin: httpx.Client) -> None:
    generation = predicted(admin).json()["generation"]
    problem(admin.post("/models/rollback", json={"generation": generation - 1}), 409, "changed-meanwhile")
    assert predicted(admin).json()["generation"] == generation


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
