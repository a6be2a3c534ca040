"""One market, one pair of trained models and one server for all API tests."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx
import pytest

from gapfill.market.process import Pace
from gapfill.market.server import build_app
from gapfill.market.simulate import SimulatedMarket
from gapfill.market.threaded import serve_in_thread
from services.api.stream import StreamPace
from services.limits import FailedSignIns
from services.telemetry import configure_logging
from tests.api.api_models import REGIONS, TYPES, TrainedModel, TrainedModels, train
from tests.api.api_server import Served, serving, settings_for, until
from tests.api.api_steps import activate, upload


@dataclass(frozen=True)
class World:
    """The server that most tests speak to, with both models active and the gap filled."""

    served: Served
    market: str
    models: TrainedModels
    fill: dict[str, Any]  # the job that filled the gap, as it ended


@pytest.fixture(scope="session")
def market() -> Iterator[str]:
    """A seeded market, 500 times as lively as a real one from now on."""
    pace = Pace(((int(time.time()) + 1, 500.0),))
    source = SimulatedMarket(11, (*REGIONS, "us-west-2"), (*TYPES, "c5.xlarge"), pace)
    with serve_in_thread(build_app(source)) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_EC2", address)
        patch.setenv("AWS_ENDPOINT_URL_PRICING", address)
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield address


@pytest.fixture(scope="session")
def trained(market: str) -> TrainedModels:
    """The models, trained once."""
    return train(market)


@pytest.fixture(scope="session")
def world(market: str, trained: TrainedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The server, once it is live."""
    configure_logging("warning", "api-tests")
    settings = settings_for(tmp_path_factory.mktemp("api"))
    with serving(settings, StreamPace(heartbeat_s=0.6, send_timeout_s=1.0)) as served, served.client("operator") as api:
        # Many tests are refused on purpose, all from one address; those of the limit itself set their own.
        served.app.state.house = replace(served.house, failed_sign_ins=FailedSignIns(limit=100_000))
        for name, model in (("spot-interruption", trained.interruption), ("spot-price", trained.price)):
            assert upload(api, model, name, trained_until=trained.trained_until).status_code == 201
        orders = [activate(api, "spot-interruption:v1"), activate(api, "spot-price:v1")]
        tasks = {order["gap_fill_task_id"] for order in orders}
        jobs = [until(partial(_ended, api, task)) for task in tasks if task]
        until(lambda: "spot_price" in api.get("/predictions/latest").json().get("models", {}))
        yield World(served, market, trained, jobs[-1])


@pytest.fixture(scope="session")
def served(world: World) -> Served:
    """The live server."""
    return world.served


@pytest.fixture(scope="session")
def interruption(trained: TrainedModels) -> TrainedModel:
    """The active interruption model."""
    return trained.interruption


@pytest.fixture
def admin(served: Served) -> Iterator[httpx.Client]:
    """A client with the role admin."""
    with served.client("admin") as client:
        yield client


def _ended(api: httpx.Client, task_id: str) -> dict[str, Any]:
    """The job once it has ended, nothing before."""
    status: dict[str, Any] = api.get(f"/gap-filler/status/{task_id}").json()
    return status if status["status"] != "in_progress" else {}
