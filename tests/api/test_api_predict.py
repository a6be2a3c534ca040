"""Predictions on request: the model's own answer, about the pool that was meant, or a clear refusal."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from gapfill.features.registry import NAMES
from tests.api.api_models import TrainedModel, TrainedModels
from tests.api.api_server import until
from tests.api.api_steps import problem

ASK = {"instance_type": "m5.large", "region": "us-east-1"}
ZONE = ASK | {"availability_zone": "us-east-1a"}
EPSILON = 1e-6


def predict(api: httpx.Client, ask: dict[str, Any], *, features: bool = False) -> dict[str, Any]:
    """The answer; fails when it is a refusal."""
    answer = api.post("/predict/spot-interruption", json=ask, params={"include": "features"} if features else {})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_an_answer_says_what_it_is_made_of(admin: httpx.Client) -> None:
    before = datetime.now(UTC)
    told = predict(admin, ASK)
    assert 0 <= told["interruption_probability"] <= 1
    assert 0 <= told["confidence"] <= 1
    assert told["model_id"] == "spot-interruption:v1"
    assert told["generation"] >= 1
    assert told["horizon_hours"] == 24
    assert told["market_id"] == "sim:11"
    assert told["simulated"] is True
    as_of, data_as_of = datetime.fromisoformat(told["as_of"]), datetime.fromisoformat(told["data_as_of"])
    assert before <= as_of <= datetime.now(UTC)
    assert as_of - timedelta(seconds=10) <= data_as_of <= as_of
    assert datetime.fromisoformat(told["target_at"]) == as_of + timedelta(hours=24)
    assert told["data_age_seconds"] == pytest.approx((as_of - data_as_of).total_seconds(), abs=0.002)


def test_without_a_zone_the_riskiest_answers_and_all_are_listed(admin: httpx.Client) -> None:
    told = predict(admin, ASK)
    zones = [pool["availability_zone"] for pool in told["pools"]]
    assert len(zones) == len(set(zones)) > 2
    riskiest = max(told["pools"], key=lambda pool: pool["interruption_probability"])
    assert told["pool_id"] == riskiest["pool_id"]
    assert told["interruption_probability"] == riskiest["interruption_probability"]
    for zone in zones:
        one = predict(admin, ASK | {"availability_zone": zone})
        assert [pool["availability_zone"] for pool in one["pools"]] == [zone]
        assert one["availability_zone"] == zone


def test_the_features_are_those_of_the_model_and_only_on_request(
    admin: httpx.Client, interruption: TrainedModel
) -> None:
    assert "features" not in predict(admin, ASK)
    told = predict(admin, ASK, features=True)
    assert all(tuple(pool["features"]) == interruption.features for pool in told["pools"])
    problem(admin.post("/predict/spot-interruption", json=ASK, params={"include": "everything"}), 422)


def test_each_pool_gets_what_the_uploaded_model_itself_says(admin: httpx.Client, interruption: TrainedModel) -> None:
    for instance_type in ("m5.large", "m5.xlarge", "c5.large"):
        for region in ("us-east-1", "eu-west-1"):
            told = predict(admin, {"instance_type": instance_type, "region": region}, features=True)
            own = interruption.answers([pool["features"] for pool in told["pools"]])
            served = [pool["interruption_probability"] for pool in told["pools"]]
            assert np.abs(own - served).max() <= EPSILON


def beside(value: float) -> list[float]:
    """A threshold, its neighbours as float64 and as float32, and what lies around both."""
    narrow = float(np.float32(value))
    near = [np.nextafter(v, to) for v in (value, narrow) for to in (-np.inf, np.inf)]
    wide = [float(np.nextafter(np.float32(value), np.float32(to))) for to in (-np.inf, np.inf)]
    return [float(v) for v in (value, narrow, *near, *wide, value * (1 - 1e-9), value * (1 + 1e-9)) if v > 0]


def test_prices_next_to_a_trees_thresholds_fall_on_the_same_side(
    admin: httpx.Client, interruption: TrainedModel
) -> None:
    on_demand = predict(admin, ZONE, features=True)["features"]["on_demand_price"]
    prices = [near for threshold in interruption.thresholds("price") for near in beside(threshold)]
    prices += [near * on_demand for threshold in interruption.thresholds("price_ratio") for near in beside(threshold)]
    assert len(prices) > 20
    rows, served = [], []
    for price in prices:
        told = predict(admin, ZONE | {"spot_price": price}, features=True)
        assert told["features"]["price"] == price
        rows.append(told["features"])
        served.append(told["interruption_probability"])
    assert np.abs(interruption.answers(rows) - served).max() <= EPSILON


def test_a_price_replaces_the_price_and_what_derives_from_it_alone(admin: httpx.Client) -> None:
    now = predict(admin, ZONE, features=True)["features"]
    other = predict(admin, ZONE | {"spot_price": 0.0123}, features=True)
    assert other["spot_price"] == other["features"]["price"] == 0.0123
    assert other["features"]["price_ratio"] == 0.0123 / now["on_demand_price"]
    changed = {name for name in NAMES if other["features"][name] != now[name]}
    moving = {name for name in NAMES if name.endswith(("_1h", "_24h", "_7d")) and name != "range_position_7d"}
    assert changed - moving - {"hours_since_change"} == {"price", "price_ratio", "range_position_7d"}


@pytest.mark.parametrize("price", ['"0.1"', "true", "-0.1", "0", "NaN", "Infinity", "1e400", '"cheap"', "[]"])
def test_prices_that_are_none(admin: httpx.Client, price: str) -> None:
    body = '{"instance_type": "m5.large", "region": "us-east-1", "spot_price": ' + price + "}"
    answer = admin.post(
        "/predict/spot-interruption", content=body.encode(), headers={"Content-Type": "application/json"}
    )
    assert problem(answer, 422)["field"] == "spot_price"


def test_a_price_far_out_of_range_is_answered_with_little_confidence(admin: httpx.Client) -> None:
    usual, huge = predict(admin, ZONE), predict(admin, ZONE | {"spot_price": 1e12})
    assert 0 <= huge["interruption_probability"] <= 1
    assert huge["confidence"] < usual["confidence"]
    assert huge["confidence_parts"]["familiar"] < usual["confidence_parts"]["familiar"]


def test_launch_times(admin: httpx.Client) -> None:
    now = datetime.now(UTC)
    past = predict(admin, ZONE | {"launch_time": (now - timedelta(hours=5)).isoformat()}, features=True)
    assert past["features"]["hours_since_launch"] == pytest.approx(5, abs=0.05)
    assert datetime.fromisoformat(past["target_at"]) == datetime.fromisoformat(past["as_of"]) + timedelta(hours=24)

    launch = (now + timedelta(days=3)).replace(hour=4)
    future = predict(admin, ZONE | {"launch_time": launch.isoformat()}, features=True)
    assert future["features"]["hours_since_launch"] == 0
    assert (future["features"]["hour"], future["features"]["day_of_week"]) == (4, launch.weekday())
    assert datetime.fromisoformat(future["target_at"]) == launch + timedelta(hours=24)

    abroad = launch.astimezone(datetime.strptime("+0530", "%z").tzinfo)
    assert predict(admin, ZONE | {"launch_time": abroad.isoformat()}, features=True)["features"]["hour"] == 4


@pytest.mark.parametrize(
    "launch_time",
    [
        pytest.param((datetime.now(UTC) + timedelta(days=31)).isoformat(), id="too far ahead"),
        pytest.param(datetime.now(UTC).replace(tzinfo=None).isoformat(), id="without a zone"),
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2026-13-01T00:00:00Z",
        "soon",
        True,
    ],
)
def test_launch_times_that_cannot_be_meant(admin: httpx.Client, launch_time: Any) -> None:
    answer = admin.post("/predict/spot-interruption", json=ZONE | {"launch_time": launch_time})
    assert problem(answer, 422)["field"] == "launch_time"


@pytest.mark.parametrize(
    "ask",
    [
        {"instance_type": "m5.huge", "region": "us-east-1"},
        {"instance_type": "m5.large", "region": "us-eats-1"},
        {"instance_type": "m5.large", "region": "us-east-1", "availability_zone": "us-east-1z"},
        {"instance_type": "m5.large", "region": "us-east-1", "product_description": "Windows"},
        {"instance_type": "", "region": ""},
    ],
)
def test_a_pool_that_is_not_tracked_is_said_to_be(admin: httpx.Client, ask: dict[str, str]) -> None:
    told = problem(admin.post("/predict/spot-interruption", json=ask), 404, "pool-unknown")
    assert "gap-filler/fill" in told["advice"]


@pytest.mark.parametrize("missing", ["instance_type", "region"])
def test_what_must_be_said(admin: httpx.Client, missing: str) -> None:
    ask = {name: value for name, value in ASK.items() if name != missing}
    assert problem(admin.post("/predict/spot-interruption", json=ask), 422)["field"] == missing


def test_bodies_that_are_none(admin: httpx.Client) -> None:
    json = {"Content-Type": "application/json"}
    path = "/predict/spot-interruption"
    for body in (b"{", b'{"region": "us-east-1",}', b"\xff\xfe", b'{"region": "\\ud800", "instance_type": "x"}'):
        answer = admin.post(path, content=body, headers=json)
        assert answer.status_code in (400, 422)
        problem(answer, answer.status_code)
    for body in (b"[]", b"null", b'"x"', b"", b"5"):
        problem(admin.post(path, content=body, headers=json), 422)
    problem(admin.post(path, content=b"[" * 50_000, headers=json), 400)
    problem(admin.post(path, json=ASK | {"colour": "blue"}), 422)


def test_the_horizon_is_the_models_own(admin: httpx.Client) -> None:
    assert predict(admin, ASK | {"horizon_hours": 24})["horizon_hours"] == 24
    told = problem(admin.post("/predict/spot-interruption", json=ASK | {"horizon_hours": 1}), 422)
    assert told["field"] == "horizon_hours"
    assert "24" in told["advice"]


def test_any_version_may_be_asked_but_only_of_the_task(admin: httpx.Client, trained: TrainedModels) -> None:
    told = predict(admin, ASK | {"model_id": "spot-interruption:v1"})
    assert told["model_id"] == "spot-interruption:v1"
    wrong = admin.post("/predict/spot-interruption", json=ASK | {"model_id": "spot-price:v1"})
    assert problem(wrong, 422)["field"] == "model_id"
    problem(
        admin.post("/predict/spot-interruption", json=ASK | {"model_id": "spot-interruption:v7"}),
        404,
        "model-not-found",
    )


def test_the_answer_is_that_of_the_live_stream(admin: httpx.Client) -> None:
    """Serving and the loop score the same rows with the same model: no skew between the two."""

    def same_tick() -> bool:
        told = predict(admin, ZONE)
        live = admin.get("/predictions/latest", params={"region": "us-east-1"}).json()
        row = next(one for one in live["predictions"] if one["pool_id"] == told["pool_id"])
        same = live["as_of"].removesuffix("+00:00")[:23] == told["data_as_of"].removesuffix("Z")[:23]
        return bool(same and row["interruption_probability"] == told["interruption_probability"])

    assert until(same_tick, 20)
