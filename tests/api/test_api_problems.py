"""Every refusal is a problem document, every error type has its line, and no JSON body breaks the server."""

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import engines.errors as engine_errors
import gapfill.errors as gapfill_errors
from services import errors
from services.api.problem_table import TABLE
from services.api.problems import problem_for
from tests.api.api_house import changed_house
from tests.api.api_server import Served, until
from tests.api.api_steps import problem

# These end a start or a worker, or are the roots of their trees: no request meets them.
INSIDE = {
    "ServerError",
    "SettingsInvalid",
    "DataDirectoryInUse",
    "MarketMismatch",
    "StoreError",
    "StoreTooNew",
    "ModelError",
    "ModelUnavailable",
    "GapFillError",
    "HistoryMarketMismatch",
    "HistoryTooNew",
    "EnginesError",
}


def error_types(room: ModuleType) -> Iterator[type[Exception]]:
    for _, kind in inspect.getmembers(room, inspect.isclass):
        if issubclass(kind, Exception) and kind.__module__ == room.__name__:
            yield kind


def test_every_error_type_has_its_line() -> None:
    kinds = [kind for room in (errors, gapfill_errors, engine_errors) for kind in error_types(room)]
    assert len(kinds) > 30
    without = {kind.__name__ for kind in kinds if problem_for(kind.__new__(kind)) is None}
    assert without == INSIDE


def test_types_and_close_codes_are_stable_words() -> None:
    for line in TABLE.values():
        assert line.slug == line.slug.lower().replace(" ", "-")
        assert 4400 <= line.close_code < 4600


def test_the_openapi_document_names_every_route(served: Served) -> None:
    with served.client(None) as nobody:
        document = nobody.get(served.address + "/openapi.json").json()
        assert nobody.get(served.address + "/docs").status_code == 200
    paths = document["paths"]
    for path in ("models/upload", "predict/spot-interruption", "decision/spot-optimize", "gap-filler/fill"):
        assert "post" in paths[f"/api/v1/ml/{path}"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert operation.get("description") or operation.get("summary"), f"{method} {path}"


def test_an_error_that_nobody_foresaw_tells_nothing_of_itself(served: Served, admin: httpx.Client) -> None:
    class Broken:
        def rows(self) -> list[dict[str, Any]]:
            raise ZeroDivisionError("the secret of the house")

    with changed_house(served, clusters=Broken()):
        answer = admin.get("/clusters")
    assert "secret" not in answer.text
    assert problem(answer, 500, "internal")["advice"]
    assert answer.headers["x-request-id"]


# Bodies that hypothesis makes up: right names with any JSON under them, and any JSON at all.

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**18, max_value=10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["us-east-1", "m5.large", "us-east-1a", "spot-interruption:v1", "2026-11-01", "Linux/UNIX"])
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NODE = {
    "node_id": "n-1",
    "region": "us-east-1",
    "availability_zone": "us-east-1a",
    "instance_type": "m5.large",
    "capacity_type": "on_demand",
    "capacity": {"vcpu": 2, "memory_gib": 8},
    "requested": {"cpu": 0.5, "memory": 0.5},
}
# method, path, a body that is good; the fuzz replaces some of its values and adds others.
GOOD: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/predict/spot-interruption", {"instance_type": "m5.large", "region": "us-east-1", "spot_price": 0.05}),
    ("POST", "/gap-filler/analyze", {"regions": ["us-east-1"], "trained_until": "2026-11-01"}),
    ("POST", "/models/activate", {"model_id": "spot-interruption:v7", "version": None}),
    ("POST", "/models/rollback", {"task": "no-such-task"}),
    ("POST", "/engines/select", {"engine_id": "no-such-engine", "config": {}}),
    ("POST", "/auth/session", {"code": None}),
    ("POST", "/keys", {"name": "fuzz", "role": "none", "expires_in_days": 1}),
    ("PUT", "/clusters/fuzz", {"nodes": [NODE], "requirements": {"vcpu": 2}, "constraints": {"min_pools": 1}}),
    ("POST", "/decision/spot-optimize", {"cluster_id": "fuzz-launch", "requirements": {"vcpu": 2, "min_nodes": 1}}),
]


def changed(body: Any, data: st.DataObject) -> Any:
    """The body with one value at any depth replaced, or one added."""
    if isinstance(body, dict) and body and data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(body)))
        return body | {name: changed(body[name], data)}
    if isinstance(body, list) and body and data.draw(st.booleans()):
        return [changed(body[0], data), *body[1:]]
    return data.draw(ANYTHING)


@pytest.mark.parametrize(("method", "path", "body"), GOOD, ids=[path for _, path, _ in GOOD])
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_breaks_the_server(
    admin: httpx.Client, served: Served, method: str, path: str, body: dict[str, Any], data: st.DataObject
) -> None:
    answer = admin.request(method, path, json=changed(body, data))
    assert answer.status_code < 500, f"{answer.request.content!r}: {answer.text}"
    if answer.is_error:
        problem(answer, answer.status_code)


HUGE = 10**30


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/clusters/huge", {"nodes": [NODE | {"pods": HUGE}]}),
        ("PUT", "/clusters/huge", {"nodes": [NODE], "constraints": {"max_concurrent_disruptions": HUGE}}),
        ("PUT", "/clusters/huge", {"requirements": {"min_nodes": HUGE, "vcpu": 1e308}}),
        ("POST", "/decision/spot-optimize", {"cluster_id": "x", "requirements": {"min_nodes": HUGE}}),
        ("POST", "/decision/spot-optimize", {"cluster_id": "x", "requirements": {"vcpu": 1e308, "memory_gib": 1e308}}),
        ("POST", "/decision/spot-optimize", {"cluster_id": "x", "requirements": {"vcpu": 2, "min_nodes": 10**9}}),
        ("POST", "/decision/spot-optimize", {"cluster_id": "x", "requirements": {"gpus": HUGE}}),
        (
            "POST",
            "/predict/spot-interruption",
            {"instance_type": "m5.large", "region": "us-east-1", "horizon_hours": HUGE},
        ),
        (
            "POST",
            "/predict/spot-interruption",
            {"instance_type": "m5.large", "region": "us-east-1", "spot_price": HUGE},
        ),
    ],
)
def test_numbers_that_no_machine_word_holds(admin: httpx.Client, method: str, path: str, body: dict[str, Any]) -> None:
    answer = admin.request(method, path, json=body)
    assert answer.status_code < 500, answer.text
    for read in ("/clusters/huge", "/clusters", "/decisions/latest"):
        assert admin.get(read).status_code < 500
    admin.delete("/clusters/huge")


def test_the_loop_goes_on_deciding_whatever_a_cluster_asks_for(admin: httpx.Client) -> None:
    strange = {"requirements": {"vcpu": 1e308, "min_nodes": 10**9}, "constraints": {"min_pools": 10**12}}
    admin.put("/clusters/a-strange-one", json=strange)
    admin.put("/clusters/plain", json={"nodes": [NODE]})
    try:
        asked = {"cluster_id": "plain"}
        until(lambda: admin.get("/decisions/latest", params=asked).json().get("decisions"), 20)
    finally:
        admin.delete("/clusters/a-strange-one")
        admin.delete("/clusters/plain")


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_breaks_the_server(admin: httpx.Client, data: st.DataObject) -> None:
    path, names = data.draw(
        st.sampled_from(
            [
                ("/predictions/history", ["region", "pool_id", "model_id", "origin", "start", "end", "limit"]),
                ("/predictions/latest", ["region", "instance_type", "cluster_id"]),
                ("/prices/history", ["pool_id", "start", "end"]),
                ("/decisions/history", ["cluster_id", "before", "limit"]),
                ("/decisions/latest", ["cluster_id", "region", "instance_type"]),
                ("/gap-filler/history", ["limit"]),
                ("/audit", ["before", "limit"]),
            ]
        )
    )
    values = st.text(max_size=12) | st.integers().map(str) | st.datetimes().map(lambda at: f"{at.isoformat()}Z")
    answer = admin.get(path, params=data.draw(st.dictionaries(st.sampled_from(names), values, max_size=4)))
    assert answer.status_code < 500, f"{answer.request.url}: {answer.text}"
    if answer.is_error:
        problem(answer, answer.status_code)


@given(name=st.text(min_size=1, max_size=300))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_name_in_a_path_breaks_the_server(admin: httpx.Client, name: str) -> None:
    encoded = "".join(f"%{byte:02x}" for byte in name.encode())
    for path in ("/models/{}", "/models/{}/download", "/clusters/{}", "/engines/{}/metadata", "/gap-filler/status/{}"):
        answer = admin.get(path.format(encoded))
        assert answer.status_code < 500, f"{path} {name!r}: {answer.text}"
