"""What stands before every route: hosts, origins, sizes, limits, sign-in, and keys that end."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from services.api.gate import BODY_LIMIT, COOKIE, SECURITY_HEADERS
from services.limits import FailedSignIns, Rate
from tests.api.api_house import changed_house
from tests.api.api_server import ADMIN_TOKEN, API, Served, until
from tests.api.api_steps import problem

WRONG = {"Authorization": "Bearer co_0123456789ab_wrong"}


def spoken(served: Served, request: bytes) -> bytes:
    """What the server answers to raw bytes, until it closes or has sent an answer's head."""
    host, port = served.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer and (more := line.recv(65_536)):
            answer += more
    return answer


@pytest.mark.parametrize("path", ["models/upload", "predict/spot-interruption", "gap-filler/import"])
def test_no_body_is_read_before_the_key_is_known(served: Served, path: str) -> None:
    head = f"POST {API}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    huge = f"{head}Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n"
    endless = f"{head}Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    for request in (huge, endless):
        answer = spoken(served, request.encode())
        assert answer.startswith(b"HTTP/1.1 401 "), answer[:200]


def test_a_body_over_its_limit_is_refused_by_its_length_and_by_its_bytes(served: Served) -> None:
    token = served.tokens["invoker"]
    head = f"POST {API}/predict/spot-interruption HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    said = f"{head}Content-Type: application/json\r\nContent-Length: {BODY_LIMIT + 1}\r\n\r\n"
    assert spoken(served, said.encode()).startswith(b"HTTP/1.1 413 ")

    def endless() -> Iterator[bytes]:
        for _ in range(5):
            yield b" " * 1024**2

    with served.client("invoker") as client:
        answer = client.post("/predict/spot-interruption", content=endless())
    assert problem(answer, 413, "too-large")["limit_bytes"] == BODY_LIMIT


def test_only_our_own_names_are_answered(served: Served, admin: httpx.Client) -> None:
    for host in ("localhost", "127.0.0.1", "LOCALHOST:8001", "[::1]:80"):
        assert admin.get("/models/list", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"):
        problem(admin.get("/models/list", headers={"Host": host}), 422)
        with served.client(None) as nobody:
            problem(nobody.get(served.address + "/healthz", headers={"Host": host}), 422)


def test_every_answer_carries_the_security_headers_and_an_id(served: Served, admin: httpx.Client) -> None:
    answers = [admin.get("/models/list"), admin.get("/models/none:v1"), admin.get(served.address + "/healthz")]
    with served.client(None) as nobody:
        answers.append(nobody.get("/models/list"))
    for answer in answers:
        assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert len(answer.headers["x-request-id"]) == 26
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


def test_a_request_id_comes_back_when_it_is_one(admin: httpx.Client) -> None:
    assert admin.get("/models/list", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    strange = admin.get("/models/list", headers={"X-Request-ID": 'a" b' * 30}).headers["x-request-id"]
    assert len(strange) == 26


def test_a_key_that_asks_too_often_has_to_wait(served: Served) -> None:
    with changed_house(served, rate=Rate(60, burst=3)), served.client("viewer") as viewer:
        answers = [viewer.get("/auth/session") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert problem(answers[-1], 429, "too-many-requests")["retry_after_s"] > 0
        assert int(answers[-1].headers["retry-after"]) >= 1
        with served.client("operator") as another:
            assert another.get("/auth/session").status_code == 200


def test_wrong_tokens_are_limited_and_right_ones_go_on(served: Served) -> None:
    with changed_house(served, failed_sign_ins=FailedSignIns(limit=3)), served.client(None) as nobody:
        tried = [nobody.get("/models/list", headers=WRONG) for _ in range(5)]
        assert [answer.status_code for answer in tried] == [401, 401, 401, 429, 429]
        assert "retry-after" in tried[-1].headers
        problem(nobody.get("/models/list"), 401)
        with served.client("viewer") as viewer:
            assert viewer.get("/models/list").status_code == 200


def test_failed_sign_ins_are_limited(served: Served) -> None:
    with changed_house(served, failed_sign_ins=FailedSignIns(limit=3)), served.client(None) as nobody:
        tried = [nobody.post("/auth/session", json={"token": "wrong"}) for _ in range(4)]
        assert [answer.status_code for answer in tried] == [401, 401, 401, 429]
        problem(nobody.post("/auth/session", json={"token": ADMIN_TOKEN}), 429)


def test_both_headers_carry_a_token_and_a_query_does_not(served: Served) -> None:
    token = served.tokens["viewer"]
    with served.client(None) as nobody:
        assert nobody.get("/auth/session", headers={"X-API-Key": token}).json()["role"] == "viewer"
        assert nobody.get("/auth/session", headers={"Authorization": f"bearer {token}"}).status_code == 200
        problem(nobody.get("/auth/session", params={"token": token, "access_token": token}), 401)
        problem(nobody.get("/auth/session", headers={"Authorization": f"Basic {token}"}), 401)


def test_a_sign_in_link_works_once_and_its_cookie_is_kept_from_scripts(served: Served) -> None:
    house = served.house
    code = house.sessions.create_code(house.keys.verify(served.tokens["operator"]))
    with served.client(None) as browser:
        answer = browser.post("/auth/session", json={"code": code})
        assert answer.json() == {"name": "operator of the tests", "role": "operator"}
        attributes = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/"} <= attributes
        assert browser.get("/auth/session").json()["role"] == "operator"
        with served.client(None) as second:
            problem(second.post("/auth/session", json={"code": code}), 401)
        problem(browser.get("/keys"), 403)
        assert browser.delete("/auth/session", headers={"Origin": served.address}).status_code == 200
        problem(browser.get("/auth/session"), 401)


def test_a_sign_in_needs_something_to_sign_in_with(served: Served) -> None:
    with served.client(None) as nobody:
        problem(nobody.post("/auth/session", json={}), 422)
        problem(nobody.post("/auth/session", json={"code": "x" * 40, "more": 1}), 422)
        json = {"Content-Type": "application/json"}
        problem(nobody.post("/auth/session", content=b"{", headers=json), 400, "invalid-json")
        problem(nobody.post("/auth/session", content=b"{}"), 415, "unsupported-media-type")


def test_another_sites_page_cannot_use_the_cookie(served: Served) -> None:
    with served.client(None) as browser:
        browser.post("/auth/session", json={"token": served.tokens["operator"]})
        assert browser.cookies[COOKIE]
        order = {"model_id": "none:v1"}
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
            problem(browser.post("/models/activate", json=order, headers={"Origin": origin}), 401)
        problem(browser.post("/models/activate", json=order, headers={"Origin": served.address}), 404)
        assert browser.get("/models/list", headers={"Origin": "https://evil.example"}).status_code == 200


def test_a_revoked_key_stops_and_its_session_with_it(served: Served, admin: httpx.Client) -> None:
    made = admin.post("/keys", json={"name": "short-lived", "role": "viewer"})
    assert made.status_code == 201
    key = made.json()
    listed = {row["key_id"]: row for row in admin.get("/keys").json()}
    assert "token" not in listed[key["key_id"]]
    assert "sha256" not in listed[key["key_id"]]
    with served.client(None) as browser, served.client(None) as program:
        program.headers["Authorization"] = f"Bearer {key['token']}"
        browser.post("/auth/session", json={"token": key["token"]})
        assert program.get("/models/list").status_code == browser.get("/models/list").status_code == 200
        assert admin.delete(f"/keys/{key['key_id']}").json()["revoked_at"]
        until(lambda: program.get("/models/list").status_code != 200, 2)
        until(lambda: browser.get("/models/list").status_code == 401, 2)
    done = [(entry["action"], entry["target"]) for entry in admin.get("/audit", params={"limit": 20}).json()]
    assert ("key.revoked", key["key_id"]) in done


def test_keys_that_cannot_be_meant_are_refused(admin: httpx.Client) -> None:
    for order in (
        {"name": "", "role": "viewer"},
        {"name": "x", "role": "king"},
        {"name": "x\u0007", "role": "viewer"},
        {"name": "x", "role": "viewer", "expires_in_days": 0},
        {"name": "x", "role": "viewer", "expires_in_days": 1e300},
    ):
        problem(admin.post("/keys", json=order), 422)
    problem(admin.delete("/keys/no-such-key"), 422)
