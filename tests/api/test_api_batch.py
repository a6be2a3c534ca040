"""Many questions in one request are answered as each by itself, a bad one fails alone; two versions side by side."""

from typing import Any

import httpx
import numpy as np
import pytest

from gapfill.features.registry import NAMES
from tests.api.api_models import TrainedModel
from tests.api.api_server import Served
from tests.api.api_steps import problem, upload
from tests.api.conftest import World

ASK = {"instance_type": "m5.large", "region": "us-east-1"}


def batch(api: httpx.Client, rows: list[Any], **params: str) -> dict[str, Any]:
    answer = api.post("/predict/batch", json={"rows": rows}, params=params)
    assert answer.status_code == 200, answer.text[:500]
    told: dict[str, Any] = answer.json()
    return told


def test_each_row_is_answered_as_by_itself(admin: httpx.Client, interruption: TrainedModel) -> None:
    rows = [
        ASK | {"availability_zone": "us-east-1a", "spot_price": 0.05},
        {"instance_type": "c5.large", "region": "eu-west-1", "spot_price": 0.04, "launch_time": "2026-01-01T00:00:00Z"},
        ASK | {"spot_price": 0.051, "model_id": "spot-interruption:v1"},
    ]
    told = batch(admin, rows, include="features")
    assert (told["count"], told["failed"]) == (3, 0)
    assert [one["row"] for one in told["results"]] == [0, 1, 2]
    for row, one in zip(rows, told["results"], strict=True):
        alone = admin.post("/predict/spot-interruption", json=row).json()
        answer = one["answer"]
        assert answer.keys() - {"features"} == alone.keys()
        assert [pool["pool_id"] for pool in answer["pools"]] == [pool["pool_id"] for pool in alone["pools"]]
        for name in ("region", "instance_type", "model_id", "generation", "horizon_hours", "experiment", "market_id"):
            assert answer[name] == alone[name]
        features = [pool["features"] for pool in answer["pools"]]
        expected = interruption.answers(features)
        assert np.allclose([pool["interruption_probability"] for pool in answer["pools"]], expected, atol=1e-6)
        assert set(features[0]) <= set(NAMES)


def test_a_bad_row_fails_alone(admin: httpx.Client) -> None:
    bad: list[tuple[Any, int, str]] = [
        ({"region": "us-east-1"}, 422, "invalid-value"),
        (5, 422, "invalid-value"),
        (None, 422, "invalid-value"),
        (ASK | {"spot_price": -1}, 422, "invalid-value"),
        (ASK | {"spot_price": "0.1"}, 422, "invalid-value"),
        (ASK | {"colour": "blue"}, 422, "invalid-value"),
        (ASK | {"launch_time": "2190-01-01T00:00:00Z"}, 422, "invalid-value"),
        (ASK | {"horizon_hours": 1}, 422, "invalid-value"),
        (ASK | {"region": "us-eats-1"}, 404, "pool-unknown"),
        (ASK | {"model_id": "nobody:v1"}, 404, "model-not-found"),
        (ASK | {"model_id": "spot-price:v1"}, 422, "invalid-value"),
    ]
    rows: list[Any] = [row for pair in bad for row in (pair[0], ASK)]
    told = batch(admin, rows)
    assert (told["count"], told["failed"]) == (2 * len(bad), len(bad))
    for place, (_, status, slug) in enumerate(bad):
        problem_, fine = told["results"][2 * place], told["results"][2 * place + 1]
        assert problem_["problem"]["status"] == status, problem_
        assert problem_["problem"]["type"] == f"urn:cloudoptim:problem:{slug}"
        assert problem_["problem"]["instance"] == "/api/v1/ml/predict/batch"
        assert fine["answer"]["model_id"] == "spot-interruption:v1"


def test_thousands_of_rows_keep_their_order(admin: httpx.Client) -> None:
    prices = [round(0.02 + number / 100_000, 6) for number in range(2000)]
    rows = [ASK | {"availability_zone": "us-east-1a", "spot_price": price} for price in prices]
    told = batch(admin, rows)
    assert told["failed"] == 0
    assert [one["answer"]["spot_price"] for one in told["results"]] == prices


def test_batches_that_cannot_be_meant(served: Served, admin: httpx.Client) -> None:
    bodies: list[Any] = [{}, {"rows": []}, {"rows": {}}, {"rows": [ASK], "more": 1}, {"rows": [ASK] * 5001}, [ASK]]
    for body in bodies:
        problem(admin.post("/predict/batch", json=body), 422)
    problem(admin.post("/predict/batch", json={"rows": [ASK]}, params={"include": "everything"}), 422)
    named = [ASK | {"model_id": f"nobody:v{number}"} for number in range(10)]
    told = batch(admin, named)
    assert [one["problem"]["status"] for one in told["results"]] == [404] * 8 + [422] * 2
    with served.client("viewer") as viewer:
        problem(viewer.post("/predict/batch", json={"rows": [ASK]}), 403)


@pytest.mark.parametrize("path", ["/models/compare?a={a}&b={b}", "/models/{a}/compare/{b}"])
def test_two_versions_side_by_side(world: World, admin: httpx.Client, path: str) -> None:
    a, b = "spot-interruption:v1", "compared:v1"
    fewer = world.models.interruption.metadata | {"metrics": {"rows": 10.0, "auc": 0.8}, "description": "the same"}
    assert upload(admin, world.models.interruption, "compared", metadata=fewer).status_code == 201
    try:
        told = admin.get(path.format(a=a, b=b)).json()
        assert (told["a"]["model_id"], told["b"]["model_id"]) == (a, b)
        assert {"model_id", "description"} <= set(told["differs"])
        assert "sha256" not in told["differs"]
        metrics = {row["name"]: row for row in told["metrics"]}
        assert metrics["auc"]["a"] is None
        assert metrics["rows"]["difference"] == 10 - metrics["rows"]["a"]
        assert told["features"]["common"] == list(world.models.interruption.features)
        assert (told["features"]["only_a"], told["features"]["only_b"]) == ([], [])
        assert sum(row["a"] for row in told["feature_importance"]) == pytest.approx(1)
        said = told["predictions"]
        assert said["known_of_both"] == said["pools"] > 10
        assert said["difference"]["largest"] == 0
        assert said["difference"]["equal"] == said["pools"]
        assert len(said["most_different"]) == min(20, said["pools"])
        assert {row["origin"] for row in told["accuracy"]["a"]} >= {"gap"}
        assert told["accuracy"]["b"] == []
    finally:
        assert admin.delete(f"/models/{b}").status_code == 200


def test_versions_that_cannot_be_compared(admin: httpx.Client) -> None:
    ask = {"a": "spot-interruption:v1", "b": "nobody:v1"}
    problem(admin.get("/models/compare", params=ask), 404, "model-not-found")
    problem(admin.get("/models/compare", params=ask | {"b": "spot-price:v1"}), 422)
    problem(admin.get("/models/compare", params={"a": ask["a"]}), 422)
    problem(admin.get("/models/compare", params=ask | {"days": "0"}), 422)
