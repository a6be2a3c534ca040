"""Drift: each model's figures window by window, its alerts, and who has seen them."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket

from services.api.answers import Json
from services.api.asking import PREFIX, InHouse, Who, record
from services.api.gate import needs
from services.api.live import After, run_stream
from services.api.stream import Filters, Wish
from services.live.drift.journal import Alert, DriftJournal

router = APIRouter(prefix=PREFIX, tags=["drift"])


class Acknowledge(BaseModel):
    """What whoever has seen an alert wants to say of it."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field("", max_length=500)


@router.get("/drift", response_class=Json)
@needs("viewer")
def drift(
    house: InHouse,
    model_id: str | None = None,
    windows: Annotated[int, Query(ge=1, le=200, description="How many windows of each model, newest first")] = 1,
) -> Response:
    """How far the rows of each window lie from each model's reference, feature by feature."""
    journal = DriftJournal(house.store)
    settings = house.settings
    models = [name for name in journal.models() if model_id in (None, name)]
    return Json(
        {
            "window_seconds": settings.drift_window_s,
            "thresholds": {
                "psi": settings.drift_psi,
                "ks": settings.drift_ks,
                "windows": settings.drift_windows,
            },
            "models": [_model(journal, name, windows) for name in models],
        }
    )


@router.get("/drift/alerts")
@needs("viewer")
def alerts(
    house: InHouse,
    model_id: str | None = None,
    only_open: Annotated[bool, Query(alias="open", description="Only those that have not ended")] = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, list[Alert]]:
    """Alerts, newest first."""
    return {"alerts": DriftJournal(house.store).alerts(model_id, limit, only_open=only_open)}


@router.post("/drift/alerts/{alert_id}/acknowledge")
@needs("operator")
async def acknowledge(house: InHouse, who: Who, alert_id: str, body: Acknowledge | None = None) -> Alert:
    """Say that you have seen an alert; the first to say so stays."""
    note = body.note if body else ""
    journal = DriftJournal(house.store)
    alert = await run_in_threadpool(journal.acknowledge, alert_id, who.name, note, datetime.now(UTC))
    record(house, who, "drift.acknowledged", alert_id)
    return alert


@router.websocket("/drift/live")
@needs("viewer")
async def live(house: InHouse, who: Who, socket: WebSocket, after: After = None) -> None:
    """Every new alert."""
    await run_stream(house, who, socket, Wish("drift", Filters(), after))


def _model(journal: DriftJournal, model_id: str, windows: int) -> dict[str, Any]:
    state = journal.state(model_id)
    return {
        "model_id": model_id,
        "open_alert": state.open_alert,
        "runs": state.runs,
        "collector_run": state.collector_run,
        "skill_run": state.skill_run,
        "windows": journal.windows(model_id, windows),
    }
