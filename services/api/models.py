"""Models: upload, list, look at, download, activate, roll back, delete."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from gapfill.errors import MarketError
from services import telemetry
from services.api.asking import FIRST_SPOT_DAY, PREFIX, InHouse, Who, record
from services.api.gate import needs
from services.api.house import House, UploadOrder
from services.errors import ModelInUse, RequestInvalid, Unavailable
from services.models.activation import Pointer
from services.models.staging import Staged
from services.models.version import ModelMetadata, ModelVersion, Task

CHUNK = 1024 * 1024
router = APIRouter(prefix=f"{PREFIX}/models", tags=["models"])


class ActivateOrder(BaseModel):
    """Which version to activate within its task; `version` may be left out."""

    model_config = ConfigDict(extra="forbid")

    model_id: str = Field(description="name:version, or the name with `version` beside it")
    version: str | None = Field(None, description="The version; must be the model's")


class RollbackOrder(BaseModel):
    """Which task goes back to the version that was active before."""

    model_config = ConfigDict(extra="forbid")

    task: Task = "spot_interruption"
    generation: int | None = Field(
        default=None,
        description="Only while this generation is active: a request that is sent twice then goes back once",
    )


@router.post("/upload", status_code=201)
@needs("operator", upload=True)
async def upload(
    house: InHouse,
    who: Who,
    file: Annotated[UploadFile, File(description="A fitted model: .pkl, .joblib, .skops or .onnx")],
    model_name: Annotated[str, Form()],
    version: Annotated[str, Form()],
    trained_until_date: Annotated[str, Form(description="Last day of training data, YYYY-MM-DD (UTC)")],
    metadata: Annotated[str, Form(description="JSON: task, horizon_hours, features, metrics, …")] = "{}",
) -> dict[str, Any]:
    """Take in a trained model: examined in a confined child, kept whole or not at all."""
    order = UploadOrder(
        model_name,
        version,
        _day("trained_until_date", trained_until_date),
        _metadata(metadata),
        who.name,
        file.filename or "",
    )
    staged = await run_in_threadpool(house.registry.staging.open, house.settings.model_upload_max_bytes)
    try:
        await run_in_threadpool(_receive, file, staged)
        admitted = await house.models.admit(staged, order)
    finally:
        staged.discard()
    telemetry.model_id.set(admitted.model_id)
    record(house, who, "model.uploaded", admitted.model_id, sha256=admitted.sha256)
    return _row(house, admitted, set())


@router.get("/list")
@needs("viewer")
def list_models(house: InHouse) -> list[dict[str, Any]]:
    """Every version, newest upload first."""
    active = {pointer.model_id for pointer in house.activations.all().values()}
    versions = sorted(house.registry.list(), key=lambda version: version.uploaded_at, reverse=True)
    return [_row(house, version, active) for version in versions]


@router.post("/activate")
@needs("operator")
async def activate(house: InHouse, who: Who, order: ActivateOrder) -> dict[str, Any]:
    """Let a version answer for its task: prepared and warmed first, then swapped in one step."""
    model_id = _model_id(order)
    telemetry.model_id.set(model_id)
    return await _answer(house, who, "model.activated", await house.swaps.activate(model_id, who.name))


@router.post("/rollback")
@needs("operator")
async def rollback(house: InHouse, who: Who, order: RollbackOrder | None = None) -> dict[str, Any]:
    """Go back to the version that was active before."""
    wanted = order or RollbackOrder()
    pointer = await house.swaps.roll_back(wanted.task, who.name, wanted.generation)
    telemetry.model_id.set(pointer.model_id)
    return await _answer(house, who, "model.rolled_back", pointer)


@router.get("/{model_id}")
@needs("viewer")
def details(house: InHouse, model_id: str) -> dict[str, Any]:
    """Everything known of one version, with the times it was active."""
    version = house.registry.get(model_id)
    active = {pointer.model_id for pointer in house.activations.all().values()}
    pointer = house.activations.active(version.task)
    return {
        **version.row(),
        **_row(house, version, active),
        "activation_history": pointer.turns_to(version.model_id) if pointer else [],
        "rolls_back_to": pointer.previous if pointer and pointer.model_id == version.model_id else None,
    }


@router.get("/{model_id}/download")
@needs("operator")
def download(house: InHouse, model_id: str) -> FileResponse:
    """The very bytes that were uploaded."""
    version = house.registry.get(model_id)
    name = f"{version.name}-{version.version}.{'pkl' if version.format == 'pickle' else version.format}"
    return FileResponse(
        house.registry.artifact_path(model_id),
        media_type="application/octet-stream",
        filename=name,
        headers={"X-Content-SHA256": version.sha256},
    )


@router.delete("/{model_id}")
@needs("operator")
async def delete(house: InHouse, who: Who, model_id: str) -> dict[str, Any]:
    """Remove a version that is not active."""
    version = await run_in_threadpool(house.registry.get, model_id)
    async with house.swaps.standing_still():
        if tasks := await run_in_threadpool(house.activations.uses, version.model_id):
            raise ModelInUse(version.model_id, f"active for {', '.join(tasks)}")
        if experiment := await run_in_threadpool(house.experiments.book.uses, version.model_id):
            raise ModelInUse(version.model_id, f"in the running experiment {experiment}")
        await house.models.delete(version.model_id)
    await house.swaps.forget(version.model_id)
    record(house, who, "model.deleted", version.model_id)
    return {"model_id": version.model_id, "deleted": True}


async def _answer(house: House, who: Who, action: str, pointer: Pointer) -> dict[str, Any]:
    record(house, who, action, pointer.model_id, generation=pointer.generation, previous=pointer.previous)
    return {
        "model_id": pointer.model_id,
        "version": pointer.model_id.partition(":")[2],
        "task": pointer.task,
        "generation": pointer.generation,
        "previous": pointer.previous,
        "activated_at": pointer.activated_at,
        **await _begin_to_fill(house),
    }


async def _begin_to_fill(house: House) -> dict[str, Any]:
    """The model answers already: a market that does not must not make its activation look failed."""
    if not house.settings.gap_filler_enabled:
        return {"gap_fill_task_id": None}
    try:
        job = await house.gaps.ensure_filled()
    except (MarketError, Unavailable) as error:
        return {"gap_fill_task_id": None, "gap_fill_refused": f"{error}; the filler tries again by itself"}
    return {"gap_fill_task_id": job.task_id if job else None}


def _receive(file: UploadFile, staged: Staged) -> None:
    while chunk := file.file.read(CHUNK):
        staged.write(chunk)
    staged.seal()


def _row(house: House, version: ModelVersion, active: set[str]) -> dict[str, Any]:
    today = datetime.now(UTC).date()
    keep = (
        "model_id",
        "name",
        "version",
        "task",
        "horizon_hours",
        "trained_until",
        "uploaded_at",
        "sha256",
        "estimator",
    )
    row = version.row()
    return {
        **{name: row[name] for name in keep},
        "status": "active" if version.model_id in active else "inactive",
        "gap_days": (today - version.trained_until).days,
        "description": version.description,
    }


def _model_id(order: ActivateOrder) -> str:
    name, _, version = order.model_id.partition(":")
    if order.version and version and order.version != version:
        raise RequestInvalid(
            "version",
            f"{order.version!r} is not the version of {order.model_id}.",
            "Leave `version` out, or send the one in model_id.",
        )
    if not version and not order.version:
        raise RequestInvalid("model_id", f"{order.model_id!r} names no version.", "Send name:version.")
    return f"{name}:{version or order.version}"


def _day(field: str, text: str) -> date:
    try:
        if len(text) != 10:
            raise ValueError
        day = date.fromisoformat(text)
    except ValueError as error:
        raise RequestInvalid(field, f"{text[:40]!r} is not a day.", "Send YYYY-MM-DD, as 2025-10-31.") from error
    if day < FIRST_SPOT_DAY:
        raise RequestInvalid(field, f"{text} lies before AWS's first spot price.", "Send the last day of its data.")
    return day


def _metadata(text: str) -> ModelMetadata:
    try:
        return ModelMetadata.model_validate(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise RequestInvalid("metadata", f"is not JSON: {error}", "Send one JSON object.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("metadata", *first["loc"]))
        raise RequestInvalid(where, first["msg"], "GET /docs shows the fields of metadata.") from error
