"""Drift over HTTP: figures of the live rows, alerts listed, streamed and acknowledged."""

from datetime import UTC, datetime
from typing import Any

import httpx
import polars as pl

from gapfill.features.registry import NAMES
from services.live.drift.journal import Alert, DriftJournal, new_alert_id
from services.live.events import LOG, encode
from tests.api.api_server import Served, until
from tests.api.api_steps import problem
from tests.api.test_api_streams import news, read, stream

MODEL = "spot-interruption:v1"


def alert(model_id: str = MODEL) -> Alert:
    """As the loop raises them."""
    now = datetime.now(UTC)
    return Alert(
        alert_id=new_alert_id(),
        model_id=model_id,
        task="spot_interruption",
        kind="market_moved",
        sentence="The spot prices of 90% of 40 pools moved the same way, to 1.50 times what they were.",
        raised_at=now,
        last_window_end=now,
        windows=3,
        reference="sample",
        features=[],
        evidence={},
    )


def raised(served: Served, model_id: str = MODEL) -> Alert:
    told = alert(model_id)
    DriftJournal(served.house.store).raise_alert(told)
    return told


def compared(window: dict[str, Any]) -> list[dict[str, Any]]:
    return [figure for figure in window["features"] if figure["psi"] is not None]


def test_the_loop_holds_its_rows_against_each_models_reference(admin: httpx.Client) -> None:
    def looked() -> dict[str, Any]:
        told: dict[str, Any] = admin.get("/drift", params={"model_id": MODEL}).json()
        windows = told["models"][0]["windows"] if told["models"] else []
        # The first window may have seen little: of what is imputed nothing is compared.
        return told if windows and len(compared(windows[0])) > 10 else {}

    told = until(looked)
    assert told["thresholds"] == {"psi": 0.25, "ks": 0.15, "windows": 3}
    assert told["window_seconds"] == 10
    window = told["models"][0]["windows"][0]
    assert window["reference"] == "sample"
    assert window["rows"] > window["pools"] > 5
    figures = {figure["feature"]: figure for figure in window["features"]}
    assert set(figures) == set(NAMES) - {"hour", "day_of_week", "hours_since_launch"}
    assert all(figure["psi"] >= 0 and 0 <= figure["ks"] <= 1 for figure in compared(window))
    assert figures["vcpu"]["ks"] < 0.1, "the same types as it was trained with"
    assert admin.get("/drift", params={"model_id": "nobody:v1"}).json()["models"] == []


def test_alerts_are_listed_and_acknowledged_once(served: Served, admin: httpx.Client) -> None:
    one = raised(served, "acknowledged:v1")
    listed = admin.get("/drift/alerts", params={"model_id": "acknowledged:v1", "open": True}).json()["alerts"]
    assert [told["alert_id"] for told in listed] == [one.alert_id]
    assert listed[0]["acknowledged"] is None
    with served.client("viewer") as viewer:
        problem(viewer.post(f"/drift/alerts/{one.alert_id}/acknowledge"), 403)
    seen = admin.post(f"/drift/alerts/{one.alert_id}/acknowledge", json={"note": "the sale of last week"}).json()
    assert seen["acknowledged"]["note"] == "the sale of last week"
    assert seen["acknowledged"]["by"] == "admin of the tests"
    with served.client("operator") as operator:
        again = operator.post(f"/drift/alerts/{one.alert_id}/acknowledge").json()
    assert again == seen
    audit = admin.get("/audit").json()
    assert "drift.acknowledged" in str(audit)
    problem(admin.post("/drift/alerts/01NOSUCH/acknowledge"), 404, "drift-alert-not-found")
    problem(admin.get("/drift/alerts", params={"limit": 0}), 422)


def test_alerts_arrive_as_they_are_raised(served: Served) -> None:
    with stream(served, "/drift/live") as socket:
        assert read(socket)["stream"] == "drift"
        told = alert("streamed:v1")
        header = {"as_of": "2026-01-01T00:00:00Z"}
        body = encode("sim:11", 0, header, pl.DataFrame({"alert": [told.model_dump_json()]}))
        seq = served.house.store.append(LOG, "drift", datetime.now(UTC), body).seq
        mine = next(one for _ in range(50) for one in news(socket, "drift", 1) if one["seq"] == seq)
    assert [one["alert_id"] for one in mine["alerts"]] == [told.alert_id]
    with stream(served, "/drift/live", after=seq + 100_000) as socket:
        read(socket)
        assert read(socket)["snapshot"] == "/api/v1/ml/drift/alerts"
