"""What a new user sees after one command: predictions and decisions that are up to date."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.running_server import RunningServer

# Whole servers start and stop here, on whatever machine this is.
pytestmark = pytest.mark.timeout(600)


def test_the_command_tells_what_it_does(server: RunningServer) -> None:
    said = server.said
    for word in (
        "SIMULATED MARKET",
        "Training two sample models offline",
        "Ray Serve has deployed",
        f"{server.url}/ui#code=",
        "Dashboard  http://127.0.0.1:",
        "Admin token, shown this once: co_",
        "Uploaded and activated spot-interruption:v1",
        "Uploaded and activated spot-price:v1",
        "Gap filled:",
        "Live:",
        "Decided for shop-frontend",
        "Decided for nightly-reports",
    ):
        assert word in said


def test_two_models_are_active_and_28_days_behind(server: RunningServer) -> None:
    with server.client() as api:
        rows = api.get("/models/list").json()
    day = (datetime.now(UTC) - timedelta(days=28)).date()
    assert {row["task"] for row in rows} == {"spot_interruption", "spot_price"}
    assert all(row["status"] == "active" for row in rows)
    assert all(abs((datetime.fromisoformat(row["trained_until"]).date() - day).days) <= 1 for row in rows)


def test_the_sample_clusters_call_for_each_kind_of_action(server: RunningServer) -> None:
    with server.client() as api:
        decisions = api.get("/decisions/latest").json()["decisions"]
    types = {action["type"] for row in decisions for action in row["decision"]["recommendations"]}
    assert {"move_to_spot", "consolidate", "rightsize"} <= types


def test_every_pool_has_one_prediction_per_hour_up_to_now(server: RunningServer) -> None:
    with server.client() as api:
        models = {row["task"]: row for row in api.get("/models/list").json()}
        model = models["spot_interruption"]
        start = datetime.fromisoformat(model["trained_until"]).replace(tzinfo=UTC) + timedelta(days=1)
        query = {"model_id": model["model_id"], "start": start.isoformat(), "limit": 50_000}
        columns = api.get("/predictions/history", params=query).json()["columns"]
        pools = {row["pool_id"] for row in api.get("/predictions/latest").json()["predictions"]}
    hourly: dict[str, set[str]] = {}
    for pool_id, as_of, origin in zip(columns["pool_id"], columns["as_of"], columns["origin"], strict=True):
        if origin == "gap":
            assert as_of not in hourly.setdefault(pool_id, set())
            hourly[pool_id].add(as_of)
    assert set(hourly) == pools
    hours = {len(found) for found in hourly.values()}
    expected = int((datetime.now(UTC) - start) / timedelta(hours=1)) + 1
    # The gap ends with the whole hour before the fill; what has passed since is the live loop's.
    assert len(hours) == 1
    assert expected - 1 <= hours.pop() <= expected


def test_metrics_of_all_processes_are_in_one_place(server: RunningServer) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    text = httpx.get(f"{server.url}/metrics", headers=headers, timeout=10.0, trust_env=False).text
    for name in ("cloudoptim_requests_total", "cloudoptim_ticks_total", "cloudoptim_gap_fill_shards_total"):
        assert f"\n{name}{{" in text


def test_no_secret_is_in_a_log(server: RunningServer) -> None:
    for log in (server.data_dir / "logs").glob("*.log"):
        assert server.token not in log.read_text(), log.name
