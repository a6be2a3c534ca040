"""Decision engines: list, look at, select."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from services import telemetry
from services.api.asking import PREFIX, InHouse, Who, record
from services.api.gate import needs

router = APIRouter(prefix=f"{PREFIX}/engines", tags=["engines"])


class SelectOrder(BaseModel):
    """Which engine decides from now on, and with what config (its defaults where left out)."""

    model_config = ConfigDict(extra="forbid")

    engine_id: str
    config: dict[str, Any] = Field(default_factory=dict)


@router.get("/list")
@needs("viewer")
def list_engines(house: InHouse) -> list[dict[str, Any]]:
    """Every engine; one is active."""
    selected = house.selection.current()
    return [
        {**asdict(entry), "active": bool(selected and selected.engine_id == entry.engine_id)}
        for entry in house.catalogue.list()
    ]


@router.post("/select")
@needs("operator")
async def select(house: InHouse, who: Who, order: SelectOrder) -> dict[str, Any]:
    """Let an engine decide; its config is checked against the engine's schema first."""
    telemetry.engine_id.set(order.engine_id)
    config = house.catalogue.validated_config(order.engine_id, order.config)
    selected = await run_in_threadpool(house.selection.select, order.engine_id, config, who.name, datetime.now(UTC))
    await house.decisions.follow()
    house.metrics.swaps.labels(what="engine", result="done").inc()
    record(house, who, "engine.selected", order.engine_id, generation=selected.generation)
    return selected.model_dump(mode="json")


@router.get("/{engine_id}/metadata")
@needs("viewer")
def metadata(house: InHouse, engine_id: str) -> dict[str, Any]:
    """Schemas of input, output and config, and what the engine does."""
    found = asdict(house.catalogue.metadata(engine_id))
    return {**found.pop("entry"), **found}
