"""Every route of the application × every role: what needs a key is closed without it, and nothing breaks."""

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from services.api.gate import DOCUMENTS, rule_of
from services.keys import ROLES, Role
from tests.api.api_server import API, Served
from tests.api.api_steps import problem

PUBLIC = {
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/v2/health/live"),
    ("GET", "/v2/health/ready"),
    ("POST", f"{API}/auth/session"),
}
# What the design gives to each role; a route that is missing here has to be thought about.
LEAST: dict[str, set[str]] = {
    "viewer": {
        "GET models/list",
        "GET models/{model_id}",
        "GET engines/list",
        "GET engines/{engine_id}/metadata",
        "GET engines/{engine_id}/replay/{replay_id}",
        "POST gap-filler/analyze",
        "GET gap-filler/status/{task_id}",
        "GET gap-filler/history",
        "GET gap-filler/places",
        "GET predictions/latest",
        "GET predictions/history",
        "GET prices/history",
        "GET decisions/latest",
        "GET decisions/history",
        "GET clusters",
        "GET clusters/{cluster_id}",
        "GET models/compare",
        "GET models/{model_id}/compare/{other}",
        "GET experiments",
        "GET experiments/{experiment_id}",
        "GET accuracy",
        "GET events/interruptions",
        "GET drift",
        "GET drift/alerts",
        "GET auth/session",
        "DELETE auth/session",
        "GET /metrics",
        "GET /v2",
        "GET /v2/models/{name}",
        "GET /v2/models/{name}/ready",
        "GET /v2/models/{name}/versions/{version}",
        "GET /v2/models/{name}/versions/{version}/ready",
    },
    "invoker": {
        "POST predict/spot-interruption",
        "POST predict/batch",
        "POST decision/spot-optimize",
        "POST decision/why-not",
        "POST /v2/models/{name}/infer",
        "POST /v2/models/{name}/versions/{version}/infer",
        "POST events/interruptions",
        "PUT clusters/{cluster_id}",
        "DELETE clusters/{cluster_id}",
    },
    "operator": {
        "POST models/upload",
        "POST models/activate",
        "POST models/rollback",
        "GET models/{model_id}/download",
        "DELETE models/{model_id}",
        "POST engines/select",
        "POST engines/rollback",
        "POST engines/{engine_id}/test",
        "GET engines/{engine_id}/download",
        "POST engines/{engine_id}/replay",
        "DELETE engines/{engine_id}/replay/{replay_id}",
        "POST decisions/history/{seq}/reissue",
        "POST gap-filler/fill",
        "POST gap-filler/cancel/{task_id}",
        "POST gap-filler/retry/{task_id}",
        "POST gap-filler/import",
        "POST events/exposures",
        "POST drift/alerts/{alert_id}/acknowledge",
        "POST experiments",
        "POST experiments/{experiment_id}/weights",
        "POST experiments/{experiment_id}/promote",
        "POST experiments/{experiment_id}/abort",
    },
    "admin": {
        "GET keys",
        "POST keys",
        "DELETE keys/{key_id}",
        "GET audit",
        "POST engines/upload",
        "DELETE engines/{engine_id}",
    },
}


def calls(served: Served) -> Iterator[tuple[APIRoute, str]]:
    """Every (route, method) of the application."""
    for route in served.app.routes:
        if isinstance(route, APIRoute):
            yield from ((route, method) for method in sorted(route.methods or ()))


def ask(served: Served, route: APIRoute, method: str, role: Role | None) -> httpx.Response:
    """Call a route with made-up path parameters and no body."""
    path = re.sub(r"\{[^}]+\}", "no-such-thing", route.path)
    with served.client(role) as client:
        return client.request(method, served.address + path)


def refused(answer: httpx.Response, status: int, slug: str) -> str:
    """The words of a refusal, in the form that the route has it in."""
    if answer.request.url.path.startswith("/v2"):
        assert answer.status_code == status
        return str(answer.json()["error"])
    return str(problem(answer, status, slug)["detail"])


def test_each_route_has_the_role_that_the_design_gives_it(served: Served) -> None:
    found: dict[str, set[str]] = {role: set() for role in ROLES}
    for route, method in calls(served):
        rule = rule_of(route)
        assert rule is not None, f"{route.path} declares no role"
        if rule[0] is not None:
            found[rule[0]].add(f"{method} {route.path.removeprefix(API + '/')}")
    assert found == LEAST


def test_without_a_key_only_what_is_public_answers(served: Served) -> None:
    for route, method in calls(served):
        answer = ask(served, route, method, None)
        if (method, route.path) in PUBLIC:
            assert answer.status_code not in (401, 403), route.path
        else:
            refused(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"


def test_too_low_a_role_is_refused_and_one_that_reaches_is_not(served: Served) -> None:
    for route, method in calls(served):
        rule = rule_of(route)
        assert rule is not None
        for role in ROLES:
            answer = ask(served, route, method, role)
            assert answer.status_code != 500, f"{method} {route.path} as {role}: {answer.text}"
            if rule[0] is not None and ROLES.index(role) < ROLES.index(rule[0]):
                assert rule[0] in refused(answer, 403, "forbidden")
            else:
                assert answer.status_code not in (401, 403), f"{method} {route.path} as {role}"


def test_the_documents_are_public_and_an_unknown_path_is_not(served: Served) -> None:
    with served.client(None) as nobody, served.client("viewer") as viewer:
        for path in DOCUMENTS:
            assert nobody.get(served.address + path).status_code == 200
        problem(nobody.get("/no/such/route"), 401)
        problem(viewer.get("/no/such/route"), 404, "not-found")
        problem(viewer.patch("/models/list"), 405, "method-not-allowed")


def test_a_route_that_declares_no_role_is_closed_to_everybody(served: Served) -> None:
    async def undeclared() -> dict[str, str]:
        return {"secret": "told"}

    route = APIRoute("/undeclared", undeclared)
    served.app.router.routes.append(route)
    try:
        for role in (None, *ROLES):
            problem(ask(served, route, "GET", role), 403 if role else 401)
    finally:
        served.app.router.routes.remove(route)


@pytest.mark.parametrize("token", ["", "co_0123456789ab_wrong", "nonsense"])
def test_a_stream_is_closed_with_4401_without_a_key(served: Served, token: str) -> None:
    paths = [route.path for route in served.app.routes if isinstance(route, APIWebSocketRoute)]
    assert {path.removeprefix(f"{API}/") for path in paths} == {
        f"{kind}/live" for kind in ("decisions", "drift", "experiments", "predictions")
    }
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for path in paths:
        url = served.address.replace("http", "ws", 1) + path
        with (
            connect(url, additional_headers=headers, proxy=None) as socket,
            pytest.raises(ConnectionClosed) as closed,
        ):
            socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
