"""The Open Inference Protocol v2 over REST (`/v2`), with Triton's binary tensors, for clients of KServe and Triton."""

import gzip
import zlib
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from services import telemetry
from services.api.asking import InHouse
from services.api.gate import BODY_LIMIT, needs
from services.api.house import House
from services.errors import TooLarge
from services.live.errors import TensorInvalid, VersionNotActive
from services.live.stage import VALUE
from services.live.tensors import Datatype, InferRequest, InferResponse, read_request, read_rows, write_response
from services.models.awaiting import lend_soon
from services.models.held import Loan
from services.models.predictor import predict_soon
from services.models.scorer import Matrix
from services.models.version import ModelVersion
from services.release import RELEASE

HEADER = "Inference-Header-Content-Length"
LEAST_PACKED = 1024


class ProtocolError(BaseModel):
    """Every refusal of these routes."""

    error: str


class ServerMetadata(BaseModel):
    """What serves."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """Whether it lives."""

    live: bool


class Ready(BaseModel):
    """Whether it is ready."""

    ready: bool


class ModelReady(BaseModel):
    """Whether a model is ready."""

    name: str
    ready: bool


class TensorMetadata(BaseModel):
    """A tensor; -1 is any number of rows."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadataAnswer(BaseModel):
    """A model: what goes in and comes out. `parameters.features` has the columns' names, separated by commas."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, str | int]


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema without `$defs`, for a body that is read by hand."""
    known = schema.pop("$defs", {})

    def put_in(part: Any) -> Any:
        if isinstance(part, list):
            return [put_in(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            name = part["$ref"].rsplit("/", 1)[-1]
            return {} if name == "JsonValue" else put_in(known[name])
        return {key: put_in(value) for key, value in part.items()}

    found: dict[str, Any] = put_in(schema)
    return found


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ProtocolError} for status in (401, 403, 429, *statuses)}


router = APIRouter(prefix="/v2", tags=["open inference protocol"])
BODY: dict[str, Any] = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "schema": {"type": "integer", "minimum": 1},
            "description": "Where the JSON ends and binary data begin; not there: it is all JSON",
        }
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": inlined(InferRequest.model_json_schema())}},
    },
}
ASKED = _refusals(400, 404, 409, 413, 415, 503)


@router.get("", responses=_refusals())
@needs("viewer")
async def server() -> ServerMetadata:
    """What serves, and which extensions of the protocol it knows."""
    return ServerMetadata(name="cloudoptim", version=RELEASE, extensions=["binary_tensor_data"])


@router.get("/health/live")
@needs(None)
async def live() -> Live:
    """The process answers."""
    return Live(live=True)


@router.get("/health/ready", responses={503: {"model": Ready}})
@needs(None)
async def ready(house: InHouse, response: Response) -> Ready:
    """Whether every part is ready; 503 while one is not."""
    is_ready = all(ready for ready, _ in (await house.health()).values())
    response.status_code = 200 if is_ready else 503
    return Ready(ready=is_ready)


@router.get("/models/{name}", responses=_refusals(404, 409))
@needs("viewer")
def model(house: InHouse, name: str) -> ModelMetadataAnswer:
    """The active version of a model."""
    return _metadata(house, _active(house, name))


@router.get("/models/{name}/versions/{version}", responses=_refusals(404))
@needs("viewer")
def model_version(house: InHouse, name: str, version: str) -> ModelMetadataAnswer:
    """Any version of a model."""
    return _metadata(house, house.registry.get(f"{name}:{version}"))


@router.get("/models/{name}/ready", responses=_refusals(404, 409))
@needs("viewer")
def model_ready(house: InHouse, name: str) -> ModelReady:
    """Whether a version of the model is active."""
    return ModelReady(name=_active(house, name).name, ready=True)


@router.get("/models/{name}/versions/{version}/ready", responses=_refusals(404))
@needs("viewer")
def version_ready(house: InHouse, name: str, version: str) -> ModelReady:
    """Whether the version is there; one that is not loaded is loaded when it is asked."""
    return ModelReady(name=house.registry.get(f"{name}:{version}").name, ready=True)


@router.post("/models/{name}/infer", response_model=InferResponse, responses=ASKED, openapi_extra=BODY)
@needs("invoker")
async def infer(house: InHouse, name: str, request: Request) -> Response:
    """Feature rows in, the active version's answers out."""
    version = _loaded(house, name)
    if version is None:
        version = await run_in_threadpool(_active, house, name)
    return await _infer(house, version.model_id, request)


@router.post(
    "/models/{name}/versions/{version}/infer", response_model=InferResponse, responses=ASKED, openapi_extra=BODY
)
@needs("invoker")
async def infer_version(house: InHouse, name: str, version: str, request: Request) -> Response:
    """Feature rows in, any version's answers out."""
    return await _infer(house, f"{name}:{version}", request)


def _loaded(house: House, name: str) -> ModelVersion | None:
    return next((one for one in house.slots.versions().values() if one.name == name.lower()), None)


def _active(house: House, name: str) -> ModelVersion:
    if version := _loaded(house, name):
        return version
    versions = [version.version for version in house.registry.list() if version.name == name.lower()]
    if not versions:
        return house.registry.get(f"{name}:active")
    raise VersionNotActive(name, tuple(versions))


def _metadata(house: House, version: ModelVersion) -> ModelMetadataAnswer:
    return ModelMetadataAnswer(
        name=version.name,
        versions=[one.version for one in house.registry.list() if one.name == version.name],
        platform=f"cloudoptim_{version.format}",
        inputs=[TensorMetadata(name="features", datatype="FP64", shape=[-1, len(version.features)])],
        outputs=[TensorMetadata(name=VALUE[version.task], datatype="FP64", shape=[-1])],
        parameters={
            "model_id": version.model_id,
            "task": version.task,
            "horizon_hours": version.horizon_hours,
            "features": ",".join(version.features),
        },
    )


async def _infer(house: House, model_id: str, request: Request) -> Response:
    body = await request.body()
    length = _header_bytes(request)
    plain = await run_in_threadpool(_unpacked, body, request.headers.get("content-encoding", ""))
    asked, binary = await run_in_threadpool(read_request, plain, length)
    loan: Loan = await lend_soon(house.slots, model_id)
    with loan as lent:
        version = lent.version
        rows: Matrix = await run_in_threadpool(read_rows, asked, binary, version.features)
        observed = np.zeros(rows.shape, np.bool_)
        scored = await predict_soon(
            lent.scorer, version, version.features, rows, observed, np.zeros(len(rows), np.float64)
        )
    if np.isnan(scored.values).any():
        row = int(np.flatnonzero(np.isnan(scored.values))[0])
        unknown = [name for name, value in zip(version.features, scored.matrix[row], strict=True) if np.isnan(value)]
        raise TensorInvalid("inputs", f"row {row}: {', '.join(unknown)} is unknown, and has no typical value.")
    answer, json_bytes = write_response(asked, (version.name, version.version), VALUE[version.task], scored.values)
    telemetry.model_id.set(version.model_id)
    house.metrics.predictions.labels(model_id=version.model_id, origin="served").inc(len(rows))
    return _packed(answer, json_bytes, request.headers.get("accept-encoding", ""))


def _header_bytes(request: Request) -> int | None:
    given = request.headers.get(HEADER)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 12):
        raise TensorInvalid(HEADER, f"{given[:40]!r} is no number of bytes.")
    return int(given)


def _unpacked(body: bytes, encoding: str) -> bytes:
    """The body as it was before it was compressed; raises `TensorInvalid` and `TooLarge`."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "deflate"):
        raise TensorInvalid("Content-Encoding", f"{name[:40]!r} is neither gzip nor deflate.")
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16 if name == "gzip" else zlib.MAX_WBITS)
    try:
        plain = reader.decompress(body, BODY_LIMIT + 1)
    except zlib.error as error:
        raise TensorInvalid("body", f"is not {name}: {error}") from error
    if len(plain) > BODY_LIMIT:
        raise TooLarge(BODY_LIMIT)
    if not reader.eof:
        raise TensorInvalid("body", f"is cut off: {name} has no end.")
    return plain


def _packed(body: bytes, json_bytes: int | None, accepted: str) -> Response:
    headers = {HEADER: str(json_bytes)} if json_bytes is not None else {}
    names = {part.partition(";")[0].strip().lower() for part in accepted.split(",")}
    worth = len(body) >= LEAST_PACKED
    if worth and "gzip" in names:
        body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
    elif worth and "deflate" in names:
        body, headers["Content-Encoding"] = zlib.compress(body, 1), "deflate"
    media = "application/octet-stream" if json_bytes is not None else "application/json"
    return Response(body, media_type=media, headers=headers)
