"""The Open Inference Protocol: Triton's own client reads and infers; what cannot be meant is refused in its form."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
import tritonclient.http as triton
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance
from tritonclient.utils import InferenceServerException

from services.live.tensors import MOST_ROWS
from tests.api.api_models import TrainedModel, TrainedModels
from tests.api.api_server import Served
from tests.api.api_steps import upload
from tests.api.conftest import World

NAME = "spot-interruption"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def client(served: Served) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(served.address.removeprefix("http://")) as made:
        yield made


@pytest.fixture
def headers(served: Served) -> dict[str, str]:
    return {"Authorization": f"Bearer {served.tokens['invoker']}"}


@pytest.fixture
def v2(served: Served, headers: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{served.address}/v2", headers=headers, trust_env=False, verify=False) as made:
        yield made


def rows(model: TrainedModel, count: int = 12) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Rows of the model's own sample, in its order."""
    sample = model.metadata["reference_sample"][:count]
    return np.array([[row[name] for name in model.features] for row in sample], np.float64)


def expected(model: TrainedModel, matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return model.answers([dict(zip(model.features, row, strict=True)) for row in matrix.tolist()])


def tensor(name: str, values: np.ndarray[Any, Any], *, binary: bool = True, kind: str = "FP64") -> triton.InferInput:
    made = triton.InferInput(name, list(values.shape), kind)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def refused(answer: httpx.Response, status: int) -> str:
    """The words of a refusal in the protocol's own form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert told.keys() == {"error"}
    return str(told["error"])


def test_tritons_client_reads_what_there_is(
    client: triton.InferenceServerClient, headers: dict[str, str], interruption: TrainedModel
) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata(headers=headers)["extensions"] == ["binary_tensor_data"]
    assert client.is_model_ready(NAME, headers=headers)
    assert client.is_model_ready(NAME, "v1", headers=headers)
    assert not client.is_model_ready(NAME, "v7", headers=headers)
    told = client.get_model_metadata(NAME, headers=headers)
    assert told == client.get_model_metadata(NAME, "v1", headers=headers)
    assert "v1" in told["versions"]
    assert told["inputs"] == [{"name": "features", "datatype": "FP64", "shape": [-1, len(interruption.features)]}]
    assert told["outputs"] == [{"name": "interruption_probability", "datatype": "FP64", "shape": [-1]}]
    assert told["parameters"]["features"].split(",") == list(interruption.features)


@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_gets_what_the_model_itself_says(
    client: triton.InferenceServerClient,
    headers: dict[str, str],
    trained: TrainedModels,
    binary: bool,
    packed: str | None,
) -> None:
    for name, output, model in (
        (NAME, "interruption_probability", trained.interruption),
        ("spot-price", "predicted_price", trained.price),
    ):
        matrix = rows(model, 300)
        answer = client.infer(
            name,
            [tensor("features", matrix, binary=binary)],
            outputs=[triton.InferRequestedOutput(output, binary_data=binary)],
            request_id="mine",
            headers=headers,
            request_compression_algorithm=packed,
            response_compression_algorithm=packed,
        )
        told = answer.get_response()
        assert (told["model_name"], told["model_version"], told["id"]) == (name, "v1", "mine")
        np.testing.assert_allclose(answer.as_numpy(output), expected(model, matrix), rtol=0, atol=1e-12)


def test_features_may_come_by_their_names(
    client: triton.InferenceServerClient, headers: dict[str, str], interruption: TrainedModel
) -> None:
    matrix = rows(interruption)
    named = [tensor(name, matrix[:, place]) for place, name in enumerate(interruption.features)]
    named[0] = tensor(interruption.features[0], matrix[:, :1], binary=False)
    answer = client.infer(NAME, named[::-1], model_version="v1", headers=headers)
    np.testing.assert_allclose(
        answer.as_numpy("interruption_probability"), expected(interruption, matrix), rtol=0, atol=1e-12
    )


def test_single_precision_is_taken_as_what_it_is(
    client: triton.InferenceServerClient, headers: dict[str, str], interruption: TrainedModel
) -> None:
    narrow = rows(interruption).astype(np.float32)
    answers = [
        client.infer(NAME, [tensor("features", narrow, binary=binary, kind="FP32")], headers=dict(headers))
        for binary in (True, False)
    ]
    for answer in answers:
        np.testing.assert_allclose(
            answer.as_numpy("interruption_probability"),
            expected(interruption, narrow.astype(np.float64)),
            rtol=0,
            atol=1e-12,
        )


def test_what_is_unknown_becomes_the_models_typical_value(v2: httpx.Client, interruption: TrainedModel) -> None:
    matrix = rows(interruption, 3)
    sample = [row["price"] for row in interruption.metadata["reference_sample"]]
    holes = matrix.tolist()
    holes[1][interruption.features.index("price")] = None
    matrix[1, interruption.features.index("price")] = np.median(sample)
    told = v2.post(f"/models/{NAME}/infer", json=request(holes)).json()
    np.testing.assert_allclose(told["outputs"][0]["data"], expected(interruption, matrix), rtol=0, atol=1e-12)
    assert told["outputs"][0]["shape"] == [3]


def request(rows_: list[list[Any]], **more: Any) -> dict[str, Any]:
    shape = [len(rows_), len(rows_[0]) if rows_ else 0]
    return {"inputs": [{"name": "features", "shape": shape, "datatype": "FP64", "data": rows_} | more]}


def test_no_rows_have_no_answers(v2: httpx.Client, interruption: TrainedModel) -> None:
    told = v2.post(f"/models/{NAME}/infer", json=request([], shape=[0, len(interruption.features)]))
    assert told.json()["outputs"][0]["data"] == []


def test_without_a_typical_value_an_unknown_one_is_refused(
    world: World, v2: httpx.Client, trained: TrainedModels
) -> None:
    with world.served.client("operator") as api:
        metadata = {**trained.price.metadata, "reference_sample": []}
        upload(api, trained.price, "without-sample", metadata=metadata)
    matrix = rows(trained.price, 2).tolist()
    asked = "/models/without-sample/versions/v1/infer"
    assert v2.post(asked, json=request(matrix)).status_code == 200
    matrix[1][0] = None
    assert trained.price.features[0] in refused(v2.post(asked, json=request(matrix)), 400)
    assert "v1" in refused(v2.post("/models/without-sample/infer", json=request(matrix)), 409)
    refused(v2.get("/models/without-sample/ready"), 409)


def changed(matrix: list[list[float]]) -> dict[str, dict[str, Any]]:
    """Requests that cannot be meant, by what is wrong with them."""
    width = len(matrix[0])
    return {
        "too narrow": request([row[1:] for row in matrix]),
        "a shape that lies": request(matrix, shape=[len(matrix) + 1, width]),
        "a negative shape": request(matrix, shape=[-1, width]),
        "three dimensions": request(matrix, shape=[1, len(matrix), width]),
        "too many rows": request(matrix, shape=[MOST_ROWS + 1, width]),
        "another datatype": request(matrix, datatype="BYTES"),
        "words": request([["dear"] * width]),
        "truth": request([[True] * width]),
        "no data": request(matrix, data=None),
        "no inputs": {"inputs": []},
        "an unknown column": {"inputs": [{"name": "colour", "shape": [1], "datatype": "FP64", "data": [1]}] * 2},
        "a column alone": {"inputs": [{"name": "price", "shape": [1], "datatype": "FP64", "data": [1]}]},
        "binary that is not there": request(matrix, data=None, parameters={"binary_data_size": 8}),
        "another output": request(matrix) | {"outputs": [{"name": "colour"}]},
        "classes": request(matrix)
        | {"outputs": [{"name": "interruption_probability", "parameters": {"classification": 2}}]},
    }


KINDS_OF_WRONG = tuple(changed([[0.0, 0.0]]))


@pytest.mark.parametrize("wrong", KINDS_OF_WRONG)
def test_what_cannot_be_meant_is_refused_in_the_protocols_form(
    v2: httpx.Client, interruption: TrainedModel, wrong: str
) -> None:
    asked = changed(rows(interruption, 2).tolist())[wrong]
    assert len(refused(v2.post(f"/models/{NAME}/infer", json=asked), 400)) > 20


def test_bodies_that_are_none(v2: httpx.Client, interruption: TrainedModel) -> None:
    path = f"/models/{NAME}/infer"
    good = json.dumps(request(rows(interruption, 2).tolist())).encode()
    for body in (b"", b"{", b"[]", b"5", b"[" * 5000, good.replace(b"0.", b"NaN", 1), b"\xff" + good):
        refused(v2.post(path, content=body, headers=JSON), 400)
    for length in ("0", "-1", "many", "999999999", str(len(good) - 1)):
        refused(v2.post(path, content=good, headers={"Inference-Header-Content-Length": length}), 400)
    for encoding, body in (
        ("br", good),
        ("gzip", good),
        ("deflate", gzip.compress(good)),
        ("gzip", gzip.compress(good)[:-9]),
    ):
        refused(v2.post(path, content=body, headers={"Content-Encoding": encoding}), 400)
    bomb = zlib.compress(b" " * 64 * 1024**2)
    refused(v2.post(path, content=bomb, headers={"Content-Encoding": "deflate"}), 413)
    refused(v2.post(path, content=b" " * (5 * 1024**2)), 413)


def test_who_may_ask_and_what_is_not_there(
    served: Served, v2: httpx.Client, client: triton.InferenceServerClient
) -> None:
    with httpx.Client(base_url=f"{served.address}/v2", trust_env=False, verify=False) as nobody:
        refused(nobody.get(""), 401)
        refused(nobody.post(f"/models/{NAME}/infer", json={}), 401)
    viewer = {"Authorization": f"Bearer {served.tokens['viewer']}"}
    refused(v2.post(f"/models/{NAME}/infer", json={}, headers=viewer), 403)
    refused(v2.get("/models/nobody"), 404)
    refused(v2.get(f"/models/{NAME}/versions/v7"), 404)
    refused(v2.post("/models/nobody/infer", json=request([[1.0]])), 404)
    refused(v2.post(f"/models/{NAME}/versions/v7/infer", json=request([[1.0]])), 404)
    refused(v2.get("/models/nobody/config"), 404)
    refused(v2.get(f"/models/{NAME}/infer"), 405)
    with pytest.raises(InferenceServerException, match="token"):
        client.get_model_metadata(NAME)


def operations(served: Served) -> list[Any]:
    """The protocol's operations, from the application's own OpenAPI description, as it serves it."""
    schema = schemathesis.openapi.from_url(f"{served.address}/openapi.json").include(path_regex="^/v2")
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


def test_the_description_fuzzed_finds_no_failure_of_the_server(served: Served, headers: dict[str, str]) -> None:
    found = operations(served)
    assert len(found) == 9
    statuses: set[int] = set()
    for operation in found:

        @settings(
            max_examples=25, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
        )
        @given(case=operation.as_strategy(), known=st.booleans())
        def fuzz(case: schemathesis.Case[Any], known: bool) -> None:
            if known:
                case.path_parameters = {name: {"name": NAME, "version": "v1"}[name] for name in case.path_parameters}
            answer = case.call(base_url=served.address, headers=dict(headers))
            statuses.add(answer.status_code)
            case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])

        fuzz()
    assert {200, 400, 404} <= statuses
