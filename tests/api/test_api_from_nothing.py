"""A server on its first day: no model yet, then a model without history, then a gap filled, then a market gone."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gapfill.errors import MarketUnavailable
from gapfill.jobs import Job
from gapfill.market.process import Pace
from gapfill.market.server import build_app
from gapfill.market.simulate import SimulatedMarket
from gapfill.market.threaded import serve_in_thread
from tests.api.api_house import changed_house
from tests.api.api_models import REGIONS, TYPES, TrainedModels
from tests.api.api_server import Served, serving, settings_for, until
from tests.api.api_steps import activate, problem, upload
from tests.api.conftest import World

ASK = {"instance_type": "m5.large", "region": "us-east-1"}
LAUNCH = {"cluster_id": "fresh", "requirements": {"vcpu": 8}}


class Young:
    """A server that fills nothing unasked, and the market that can be stopped under it."""

    def __init__(self, served: Served, api: httpx.Client, market: ExitStack) -> None:
        self.served = served
        self.api = api
        self.market = market


@pytest.fixture(scope="module")
def young(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Young]:
    assert world.fill  # the other server has its clients, and they keep the endpoint that they were made with
    source = SimulatedMarket(12, REGIONS, TYPES, Pace(((int(time.time()) + 1, 500.0),)))
    settings = settings_for(tmp_path_factory.mktemp("young"), GAP_FILLER_ENABLED="false", DATA_MAX_AGE_SECONDS="3")
    with ExitStack() as stopping, pytest.MonkeyPatch.context() as patch:
        address = stopping.enter_context(serve_in_thread(build_app(source)))
        patch.setenv("AWS_ENDPOINT_URL_EC2", address)
        patch.setenv("AWS_ENDPOINT_URL_PRICING", address)
        with serving(settings) as served, served.client("operator") as api:
            until(lambda: api.get("/predictions/latest").status_code == 200)
            yield Young(served, api, stopping)


def test_without_a_model_it_says_so(young: Young) -> None:
    assert young.api.get("/models/list").json() == []
    told = problem(young.api.post("/predict/spot-interruption", json=ASK), 409, "no-active-model")
    assert "models/upload" in told["advice"]
    problem(young.api.post("/gap-filler/analyze"), 409, "no-active-model")
    problem(young.api.post("/gap-filler/fill"), 409, "no-active-model")
    problem(young.api.post("/models/rollback"), 409, "no-active-model")
    live = young.api.get("/predictions/latest").json()
    assert live["models"] == {}
    assert all(row["spot_price"] > 0 for row in live["predictions"])
    assert young.api.get("/predictions/history").json()["count"] == 0


def test_without_a_model_the_gap_of_any_day_can_be_analysed(young: Young) -> None:
    analysis = young.api.post("/gap-filler/analyze", json={"trained_until": "2026-11-01"}).json()
    assert analysis["models"] == []
    assert analysis["gap_days"] == (datetime.now(UTC).date() - datetime(2026, 11, 1).date()).days  # noqa: DTZ001


def test_confidence_rises_when_the_gap_is_filled(young: Young, trained: TrainedModels) -> None:
    api = young.api
    upload(api, trained.interruption, "first", trained_until=trained.trained_until)
    assert activate(api, "first:v1")["gap_fill_task_id"] is None
    until(lambda: api.post("/predict/spot-interruption", json=ASK).status_code == 200)
    thin = api.post("/predict/spot-interruption", json=ASK).json()
    assert "price_mean_7d" in thin["imputed_features"]
    assert thin["confidence_parts"]["observed"] == pytest.approx(1 - len(thin["imputed_features"]) / 22)

    job = api.post("/gap-filler/fill").json()
    until(lambda: api.get(f"/gap-filler/status/{job['task_id']}").json()["status"] == "completed")

    def imputed() -> list[str]:
        found: list[str] = api.post("/predict/spot-interruption", json=ASK).json()["imputed_features"]
        return found

    until(lambda: not imputed(), 20)
    whole = api.post("/predict/spot-interruption", json=ASK).json()
    assert whole["confidence_parts"]["observed"] == 1
    assert whole["confidence"] > thin["confidence"]


class AwayFiller:
    """A gap desk whose market does not answer."""

    async def ensure_filled(self) -> Job | None:
        raise MarketUnavailable("us-east-1", "connection refused")


def test_a_market_that_is_away_does_not_make_an_activation_fail(served: Served, admin: httpx.Client) -> None:
    with changed_house(served, gaps=AwayFiller()):
        told = activate(admin, "spot-interruption:v1")
    assert told["gap_fill_task_id"] is None
    assert "connection refused" in told["gap_fill_refused"]


def test_when_the_market_has_gone_old_data_are_not_passed_off_as_new(young: Young, trained: TrainedModels) -> None:
    api = young.api
    upload(api, trained.interruption, "last", trained_until=trained.trained_until)
    activate(api, "last:v1")
    until(lambda: api.post("/predict/spot-interruption", json=ASK).status_code == 200)
    assert api.get(young.served.address + "/readyz").status_code == 200
    young.market.close()
    last: list[httpx.Response] = []

    def stale() -> bool:
        last[:] = [api.post("/predict/spot-interruption", json=ASK)]
        return last[0].status_code != 200

    until(stale, 20)
    told = problem(last[0], 503, "data-stale")
    assert datetime.fromisoformat(told["data_as_of"]) < datetime.now(UTC)
    problem(api.post("/decision/spot-optimize", json=LAUNCH), 503, "data-stale")
    waiting: dict[str, Any] = api.get(young.served.address + "/readyz").json()
    assert waiting["status"] == "waiting"
    assert waiting["parts"]["data"]["ready"] is False
    problem(api.post("/gap-filler/fill", json={"regions": ["eu-west-2"]}), 422)
