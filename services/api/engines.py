"""Decision engines: upload, list, look at, download, test, select, roll back, delete."""

from contextlib import closing
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from engines.contract import DecisionInput
from engines.errors import EngineExists, EngineNotFound, EngineRefused
from engines.intake import EngineOrder
from engines.samples import sample_input
from services import telemetry
from services.api.answers import Json
from services.api.asking import PREFIX, InHouse, Who, record
from services.api.gate import needs
from services.api.house import House
from services.errors import DataStale, TooLarge
from services.live.deciding import question
from services.live.named_models import NamedModels
from services.live.selection import Selected

router = APIRouter(prefix=f"{PREFIX}/engines", tags=["engines"])


class SelectOrder(BaseModel):
    """Which engine decides from now on, and with what config (its defaults where left out)."""

    model_config = ConfigDict(extra="forbid")

    engine_id: str
    config: dict[str, Any] = Field(default_factory=dict)


class TrialOrder(BaseModel):
    """What an engine is tried on, and with what config (its defaults where left out)."""

    model_config = ConfigDict(extra="forbid")

    input: DecisionInput | Literal["sample", "live"] = Field(
        "sample", description="A DecisionInput; or `sample`, made up; or `live`: the registered clusters as of now"
    )
    config: dict[str, Any] = Field(default_factory=dict)


@router.post("/upload", status_code=201)
@needs("admin")
async def upload(
    house: InHouse,
    who: Who,
    file: Annotated[UploadFile, File(description="A Python file with one engine class; see docs/add-an-engine.md")],
    name: Annotated[str, Form(description="a-z, 0-9, dot, dash, underscore")],
    version: Annotated[str, Form(description="as v1")],
    description: Annotated[str, Form(description="Default: the engine's own")] = "",
) -> dict[str, Any]:
    """Take in a decision engine: checked in a confined child, catalogued whole or not at all."""
    limit = house.settings.engine_upload_max_bytes
    text = await file.read(limit + 1)
    if len(text) > limit:
        raise TooLarge(limit)
    order = EngineOrder(name, version, description, who.name, file.filename or "")
    try:
        entry = await house.decisions.admit(text, order)
    except (EngineRefused, EngineExists) as error:
        record(house, who, "engine.refused", f"{name}:{version}"[:130], detail=str(error)[:500])
        raise
    telemetry.engine_id.set(entry.engine_id)
    record(house, who, "engine.uploaded", entry.engine_id, sha256=entry.sha256)
    return {**asdict(entry), "active": False}


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
    """Let an engine decide: started and tried on every replica with its config first, then swapped in one step."""
    telemetry.engine_id.set(order.engine_id)
    selected = await house.engine_swaps.select(order.engine_id, order.config, who.name)
    return _told(house, who, selected, "engine.selected")


@router.post("/rollback")
@needs("operator")
async def rollback(house: InHouse, who: Who) -> dict[str, Any]:
    """Go back to the engine and config that were selected before."""
    selected = await house.engine_swaps.roll_back(who.name)
    telemetry.engine_id.set(selected.engine_id)
    return _told(house, who, selected, "engine.rolled_back")


@router.get("/{engine_id}/metadata")
@needs("viewer")
def metadata(house: InHouse, engine_id: str) -> dict[str, Any]:
    """Schemas of input, output and config, and what the engine does."""
    found = asdict(house.catalogue.metadata(engine_id))
    return {**found.pop("entry"), **found}


@router.get("/{engine_id}/download")
@needs("operator")
def download(house: InHouse, engine_id: str) -> Response:
    """The very bytes that were uploaded."""
    entry = house.catalogue.get(engine_id)
    if entry.builtin:
        raise EngineNotFound(f"{engine_id} as an uploaded file")
    headers = {
        "Content-Disposition": f'attachment; filename="{entry.name}-{entry.version}.py"',
        "X-Content-SHA256": entry.sha256,
    }
    return Response(house.catalogue.uploads.text(engine_id), media_type="text/x-python", headers=headers)


@router.post("/{engine_id}/test", response_class=Json)
@needs("operator")
async def try_out(house: InHouse, who: Who, engine_id: str, order: TrialOrder | None = None) -> Response:
    """What an engine would answer, beside what the active one answers to the same; nothing is selected by it."""
    asked = order or TrialOrder.model_validate({})
    telemetry.engine_id.set(engine_id)
    given = await run_in_threadpool(_input, house, engine_id, asked)
    report = await house.decisions.test(engine_id, asked.config, given)
    record(house, who, "engine.tested", engine_id, usable=report["tested"]["usable"])
    return Json({**report["tested"], "active": report["active"], "same": _same(report)})


@router.delete("/{engine_id}")
@needs("admin")
async def delete(house: InHouse, who: Who, engine_id: str) -> dict[str, Any]:
    """Remove an uploaded engine that is not selected."""
    await house.engine_swaps.delete(engine_id)
    record(house, who, "engine.deleted", engine_id)
    return {"engine_id": engine_id, "deleted": True}


def _told(house: House, who: Who, selected: Selected, action: str) -> dict[str, Any]:
    before = selected.previous.engine_id if selected.previous else None
    record(house, who, action, selected.engine_id, generation=selected.generation, previous=before)
    return selected.model_dump(mode="json")


def _input(house: House, engine_id: str, order: TrialOrder) -> DecisionInput:
    if isinstance(order.input, DecisionInput):
        return order.input
    if order.input == "sample":
        return sample_input()
    block = house.board.block
    if block is None:
        raise DataStale(None, house.settings.data_max_age_s)
    models = house.catalogue.get(engine_id).models
    with closing(NamedModels(house.slots)) as named:
        return question(block, house.slots, house.clusters.all(), named, models, house.experiments.arms)


def _same(report: dict[str, Any]) -> bool | None:
    """Whether both decide the same; None where one of them gave no answer."""
    one, other = ((part or {}).get("output") for part in (report["tested"], report["active"]))
    return None if one is None or other is None else bool(one["decisions"] == other["decisions"])
