"""Tensors of the Open Inference Protocol v2, as JSON and in Triton's binary extension, to and from feature rows.

A request is JSON, or JSON followed by the bytes of the tensors whose `parameters.binary_data_size` says so, in their
order, little-endian, row-major (extension_binary_data.md of https://github.com/triton-inference-server/server).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictInt, ValidationError

from services.live.errors import TensorInvalid
from services.models.scorer import Matrix, Vector

Datatype = Literal["FP64", "FP32", "INT64", "INT32"]
_NUMPY: dict[Datatype, str] = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "INT32": "<i4"}
MOST_ROWS = 100_000
Parameters = dict[str, JsonValue]


class InferInput(BaseModel):
    """One input: `features` [n, features], or a feature by its name [n] or [n, 1]."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1, max_length=200)
    shape: list[StrictInt] = Field(min_length=1, max_length=2)
    datatype: Datatype
    parameters: Parameters = Field(default_factory=dict)
    data: list[JsonValue] | None = Field(
        None,
        description="Flat or nested, row by row; null is an unknown value. Left out where the data are binary.",
    )


class InferOutput(BaseModel):
    """One output that is asked for."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1, max_length=200)
    parameters: Parameters = Field(default_factory=dict)


class InferRequest(BaseModel):
    """What is asked; without `outputs` all of them are meant."""

    model_config = ConfigDict(extra="ignore")

    id: str | None = Field(None, max_length=1000)
    parameters: Parameters = Field(default_factory=dict)
    inputs: list[InferInput] = Field(min_length=1, max_length=1000)
    outputs: list[InferOutput] | None = Field(None, max_length=100)


class TensorOut(BaseModel):
    """One output, as JSON."""

    name: str
    shape: list[int]
    datatype: Datatype
    parameters: Parameters | None = None
    data: list[float] | None = None


class InferResponse(BaseModel):
    """What the model answers."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[TensorOut]


@dataclass(frozen=True, slots=True)
class Question:
    """A request, read: `rows` float64[n, features] in the model's order (NaN: unknown)."""

    request: InferRequest
    rows: Matrix


def read_request(body: bytes, header_bytes: int | None) -> tuple[InferRequest, list[bytes | None]]:
    """The JSON part and the binary data of each input; `header_bytes` is where the JSON ends (None: all of it).

    Raises `TensorInvalid`.
    """
    if header_bytes is not None and not 0 < header_bytes <= len(body):
        raise TensorInvalid("Inference-Header-Content-Length", f"{header_bytes} is not within the body's {len(body)}.")
    head = body if header_bytes is None else body[:header_bytes]
    rest = b"" if header_bytes is None else body[header_bytes:]
    try:
        request = InferRequest.model_validate(orjson.loads(head))
    except orjson.JSONDecodeError as error:
        raise TensorInvalid("body", f"is not JSON: {error}. Send unknown values as null, or in binary.") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise TensorInvalid(".".join(map(str, first["loc"])) or "body", str(first["msg"])) from error
    return request, _binary_parts(request.inputs, rest)


def _binary_parts(inputs: Sequence[InferInput], rest: bytes) -> list[bytes | None]:
    parts: list[bytes | None] = []
    at = 0
    for place, tensor in enumerate(inputs):
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            parts.append(None)
            continue
        if not isinstance(size, int) or isinstance(size, bool) or size < 0 or at + size > len(rest):
            raise TensorInvalid(f"inputs[{place}].parameters.binary_data_size", "is not what follows the JSON.")
        parts.append(rest[at : at + size])
        at += size
    if at != len(rest):
        raise TensorInvalid("body", f"has {len(rest) - at} bytes more than its inputs say.")
    return parts


def read_rows(request: InferRequest, binary: Sequence[bytes | None], features: Sequence[str]) -> Matrix:
    """float64[n, features] of a request's inputs; raises `TensorInvalid`.

    One tensor [n, features] of any name, or one tensor [n] or [n, 1] for each feature, in any order.
    """
    tensors = [
        _values(tensor, raw, place) for place, (tensor, raw) in enumerate(zip(request.inputs, binary, strict=True))
    ]
    first = request.inputs[0]
    if len(tensors) == 1 and (first.name not in features or len(features) == 1):
        if first.shape != [tensors[0].shape[0], len(features)] and len(features) > 1:
            raise TensorInvalid("inputs[0].shape", f"is {first.shape}; the model takes [n, {len(features)}].")
        return tensors[0].reshape(-1, len(features))
    columns: dict[str, Vector] = {}
    for place, (tensor, values) in enumerate(zip(request.inputs, tensors, strict=True)):
        if tensor.name not in features or tensor.name in columns:
            raise TensorInvalid(
                f"inputs[{place}].name", f"{tensor.name[:80]!r} is no feature of the model, or is there twice."
            )
        if len(tensor.shape) == 2 and tensor.shape[1] != 1:
            raise TensorInvalid(f"inputs[{place}].shape", f"is {tensor.shape}; a feature is [n] or [n, 1].")
        columns[tensor.name] = values.reshape(-1)
    if missing := [name for name in features if name not in columns]:
        raise TensorInvalid("inputs", f"lack {', '.join(missing)}.")
    if len({len(values) for values in columns.values()}) > 1:
        raise TensorInvalid("inputs", "do not have the same number of rows.")
    return np.column_stack([columns[name] for name in features])


def _values(tensor: InferInput, raw: bytes | None, place: int) -> Matrix:
    part = f"inputs[{place}]"
    if any(size < 0 for size in tensor.shape) or tensor.shape[0] > MOST_ROWS:
        raise TensorInvalid(f"{part}.shape", f"is {tensor.shape}; at most {MOST_ROWS} rows are taken at once.")
    count = math.prod(tensor.shape)
    kind = np.dtype(_NUMPY[tensor.datatype])
    if raw is not None:
        if tensor.data is not None or len(raw) != count * kind.itemsize:
            raise TensorInvalid(
                f"{part}.parameters.binary_data_size", f"is not the size of {tensor.shape} {tensor.datatype}."
            )
        values = np.frombuffer(raw, kind)
    else:
        flat = _flat(tensor.data, f"{part}.data")
        if len(flat) != count:
            raise TensorInvalid(f"{part}.data", f"has {len(flat)} values; {tensor.shape} has {count}.")
        values = np.array(flat, np.float64)
        values = values.astype(np.float32) if tensor.datatype == "FP32" and _fits(values) else values
    numbers = values.astype(np.float64).reshape(tensor.shape)
    if np.isinf(numbers).any():
        raise TensorInvalid(part, "has an infinite value; an unknown one is NaN, in JSON null.")
    return numbers


def _fits(values: Vector) -> bool:
    with np.errstate(invalid="ignore"):
        return not np.any(np.abs(values) > np.finfo(np.float32).max)


def _flat(data: list[JsonValue] | None, part: str) -> list[float]:
    if data is None:
        raise TensorInvalid(part, "is not there.")
    found: list[float] = []
    waiting: list[JsonValue] = list(reversed(data))
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(value))
        elif value is None:
            found.append(math.nan)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append(float(value))
        else:
            raise TensorInvalid(part, f"has a value that is no number: {str(value)[:40]!r}.")
    return found


def write_response(
    request: InferRequest, name: tuple[str, str], output: str, values: Vector
) -> tuple[bytes, int | None]:
    """The body of the answer, and the length of its JSON part where binary data follow it; raises `TensorInvalid`.

    `name` is the model's name and version; `output` the one output that it has, float64[n].
    """
    wanted = request.outputs if request.outputs is not None else [InferOutput(name=output)]
    for place, one in enumerate(wanted):
        if one.name != output:
            raise TensorInvalid(f"outputs[{place}].name", f"{one.name[:80]!r} is not {output}, the one that there is.")
        if "classification" in one.parameters:
            raise TensorInvalid(f"outputs[{place}].parameters", "classification is not offered.")
    data = values.astype("<f8").tobytes()
    tensors: list[dict[str, Any]] = []
    binary = b""
    for one in wanted[:1]:
        tensor = {"name": output, "shape": [len(values)], "datatype": "FP64"}
        if one.parameters.get("binary_data", request.parameters.get("binary_data_output", False)) is True:
            binary = data
            tensors.append({**tensor, "parameters": {"binary_data_size": len(data)}})
        else:
            tensors.append({**tensor, "data": values.tolist()})
    told = {"model_name": name[0], "model_version": name[1], "outputs": tensors}
    if request.id is not None:
        told["id"] = request.id
    head = orjson.dumps(told)
    return head + binary, len(head) if binary else None


assert set(_NUMPY) == set(get_args(Datatype))
