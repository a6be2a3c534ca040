"""Engines over HTTP: uploaded, tried, selected, contained when they fail, rolled back, downloaded, deleted."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from engines.starting_file import starting_file
from examples.clusters import sample_clusters
from tests.api.api_server import Served, until
from tests.api.api_steps import problem
from tests.unit.engines.engine_files import engine_file

EXAMPLES = Path(__file__).parents[2] / "examples" / "engines"
FRONTEND = sample_clusters(datetime.now(UTC))["shop-frontend"]
TEXT = starting_file("night-owl").encode()


def upload(api: httpx.Client, text: bytes, name: str, version: str = "v1", **more: str) -> httpx.Response:
    data = {"name": name, "version": version, **more}
    return api.post("/engines/upload", files={"file": ("engine.py", text)}, data=data)


@pytest.fixture(scope="module")
def owl(served: Served) -> str:
    """An uploaded engine that passes every check."""
    with served.client("admin") as api:
        answer = upload(api, TEXT, "owl", description="Moves at night.")
        assert answer.status_code == 201, answer.text
        assert answer.json()["active"] is False
        engine_id: str = answer.json()["engine_id"]
    return engine_id


@pytest.fixture
def frontend(admin: httpx.Client) -> Iterator[str]:
    admin.put("/clusters/shop-frontend", json=FRONTEND)
    yield "shop-frontend"
    admin.delete("/clusters/shop-frontend")


@pytest.fixture
def as_before(admin: httpx.Client) -> Iterator[None]:
    """Whatever is selected, the usual engine decides afterwards."""
    yield
    assert admin.post("/engines/select", json={"engine_id": "spot_optimizer_v1"}).status_code == 200


def decide(api: httpx.Client, cluster: str) -> dict[str, Any]:
    answer = api.post("/decision/spot-optimize", json={"cluster_id": cluster})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_an_uploaded_engine_is_listed_described_and_downloaded_byte_for_byte(admin: httpx.Client, owl: str) -> None:
    rows = {row["engine_id"]: row for row in admin.get("/engines/list").json()}
    assert rows[owl]["builtin"] is False
    assert rows[owl]["description"] == "Moves at night."
    metadata = admin.get(f"/engines/{owl}/metadata").json()
    assert metadata["config_schema"]["properties"]["least_saving_percent"]["maximum"] == 100
    assert metadata["config_defaults"] == {"least_saving_percent": 10}
    file = admin.get(f"/engines/{owl}/download")
    assert file.content == TEXT
    assert file.headers["x-content-sha256"] == hashlib.sha256(TEXT).hexdigest() == rows[owl]["sha256"]
    problem(admin.get("/engines/spot_optimizer_v1/download"), 404, "engine-not-found")


def test_a_version_is_never_overwritten(admin: httpx.Client, owl: str) -> None:
    problem(upload(admin, TEXT, "owl"), 409, "engine-exists")
    problem(upload(admin, TEXT, "spot_optimizer_v1"), 409, "engine-exists")


def test_a_refused_upload_tells_each_line_and_leaves_nothing(admin: httpx.Client, served: Served) -> None:
    text = engine_file().replace(b"import BaseModel, Field", b"import BaseModel, Field\nimport requests")
    told = problem(upload(admin, text.replace(b'"tested"', b'""'), "bad"), 422, "engine-refused")
    assert told["stage"] == "source"
    assert [place["line"] for place in told["errors"]] == [4, 10]
    told = problem(upload(admin, engine_file("return given.nothing"), "bad"), 422, "engine-refused")
    assert told["stage"] == "check"
    assert told["errors"][0]["line"] == 17
    assert "AttributeError" in told["errors"][0]["detail"]
    problem(upload(admin, b"x" * (600 * 1024), "bad"), 413, "too-large")
    problem(upload(admin, engine_file(), "Bad Name"), 422, "engine-refused")
    assert not (served.settings.engine_dir / "bad").exists()
    assert "bad" not in {row["name"] for row in admin.get("/engines/list").json()}


@pytest.mark.parametrize("role", ["viewer", "invoker", "operator"])
def test_only_an_admin_may_upload_or_delete(served: Served, owl: str, role: Any) -> None:
    with served.client(role) as api:
        problem(upload(api, TEXT, "other"), 403, "forbidden")
        problem(api.delete(f"/engines/{owl}"), 403, "forbidden")


def test_a_trial_shows_both_answers_side_by_side_and_selects_nothing(
    admin: httpx.Client, owl: str, frontend: str
) -> None:
    for asked in ({}, {"input": "sample"}, {"input": "live", "config": {"least_saving_percent": 0}}):
        told = admin.post(f"/engines/{owl}/test", json=asked).json()
        assert (told["engine_id"], told["usable"], told["violations"]) == (owl, True, [])
        assert told["active"]["engine_id"] == "spot_optimizer_v1"
        clusters = [decision["cluster_id"] for decision in told["output"]["decisions"]]
        assert clusters == [decision["cluster_id"] for decision in told["active"]["output"]["decisions"]]
    assert frontend in clusters
    assert told["config"] == {"least_saving_percent": 0}
    assert next(r for r in admin.get("/engines/list").json() if r["active"])["engine_id"] == "spot_optimizer_v1"


def test_a_trial_on_an_input_of_ones_own(admin: httpx.Client, owl: str) -> None:
    own = {"as_of": "2026-01-01T00:00:00Z", "market_id": "sim:1", "clusters": [], "pools": []}
    assert admin.post(f"/engines/{owl}/test", json={"input": own}).json()["same"] is True
    problem(admin.post(f"/engines/{owl}/test", json={"input": own | {"as_of": "2026-01-01T00:00:00"}}), 422)
    wrong = {"config": {"least_saving_percent": -1}}
    problem(admin.post(f"/engines/{owl}/test", json=wrong), 422, "engine-config-invalid")
    problem(admin.post("/engines/nobody:v1/test", json={}), 404, "engine-not-found")


@pytest.mark.usefixtures("as_before")
def test_an_uploaded_engine_decides_with_its_config_over_http_and_in_the_loop(
    admin: httpx.Client, owl: str, frontend: str
) -> None:
    wrong = {"engine_id": owl, "config": {"least_saving_percent": "much"}}
    told = problem(admin.post("/engines/select", json=wrong), 422, "engine-config-invalid")
    assert told["errors"][0]["field"] == "least_saving_percent"
    before = decide(admin, frontend)["made_by"]["generation"]
    selected = admin.post("/engines/select", json={"engine_id": owl, "config": {"least_saving_percent": 1}}).json()
    assert selected["config"] == {"least_saving_percent": 1}
    assert selected["previous"]["engine_id"] == "spot_optimizer_v1"
    decision = decide(admin, frontend)
    assert decision["decided_by"] == owl
    assert decision["made_by"]["generation"] == selected["generation"] == before + 1
    assert decision["made_by"]["stands_in_for"] is None
    assert any(action["type"] == "move_to_spot" for action in decision["recommendations"])
    asked = {"cluster_id": frontend}
    until(
        lambda: [
            r for r in admin.get("/decisions/latest", params=asked).json()["decisions"]
            if r["made_by"]["engine_id"] == owl
        ]
    )  # fmt: skip
    told = problem(admin.delete(f"/engines/{owl}"), 409, "engine-in-use")
    assert "selected" in told["detail"]
    back = admin.post("/engines/rollback").json()
    assert back["engine_id"] == "spot_optimizer_v1"
    assert decide(admin, frontend)["decided_by"] == "spot_optimizer_v1"


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize(
    ("body", "kind"),
    [("os._exit(1)", "crashed"), ("raise KeyError('pool')", "raised")],
)
def test_an_engine_that_fails_on_real_clusters_is_replaced_and_everybody_is_told(
    admin: httpx.Client, frontend: str, body: str, kind: str
) -> None:
    # The checks' clusters are all named otherwise.
    text = engine_file("import os", f"if any(c.cluster_id == 'shop-frontend' for c in given.clusters): {body}",
                       "return hold_everything(given)")  # fmt: skip
    engine_id = upload(admin, text, f"fails-{kind}").json()["engine_id"]
    assert admin.post("/engines/select", json={"engine_id": engine_id}).status_code == 200
    decision = decide(admin, frontend)
    assert decision["decided_by"] == "spot_optimizer_v1"
    instead = decision["made_by"]["stands_in_for"]
    assert (instead["engine_id"], instead["kind"]) == (engine_id, kind)
    root = str(admin.base_url).split("/api/")[0]
    metrics = admin.get(f"{root}/metrics").text
    assert f'cloudoptim_engine_failures_total{{engine_id="{engine_id}",kind="{kind}"}}' in metrics
    lines = admin.get("/audit", params={"limit": 50}).json()
    rows = lines if isinstance(lines, list) else lines["entries"]
    assert any(row["action"] == "engine.failed" and row["target"] == engine_id for row in rows)
    ask = {"cluster_id": "another", "requirements": {"vcpu": 4}}
    assert admin.post("/decision/spot-optimize", json=ask).status_code == 200


@pytest.mark.usefixtures("as_before")
def test_models_that_an_engine_names_predict_for_it(admin: httpx.Client) -> None:
    text = engine_file(
        "asked = any(cluster.cluster_id == 'asks-for-models' for cluster in given.clusters)",
        "assert given.pools or not asked",
        "for pool in given.pools if asked else ():",
        "    assert set(pool.predictions) == {'spot_price', 'spot-interruption:v1'}, pool.predictions",
        "    assert pool.predictions['spot_price'] == pool.predicted_price",
        "return hold_everything(given)",
    )
    named = text.replace(
        b"    class Config", b'    models = ("spot_price", "spot-interruption:v1")\n\n    class Config'
    )
    nobody = named.replace(b"spot-interruption:v1", b"nobody:v7")
    assert upload(admin, named, "asks").status_code == 201
    assert upload(admin, nobody, "asks", "v2").status_code == 201
    told = problem(admin.post("/engines/select", json={"engine_id": "asks:v2"}), 409, "engine-models-missing")
    assert told["models"] == ["nobody:v7"]
    assert admin.post("/engines/select", json={"engine_id": "asks:v1"}).status_code == 200
    ask = {"cluster_id": "asks-for-models", "requirements": {"vcpu": 4}}
    told = admin.post("/decision/spot-optimize", json=ask).json()
    assert told["made_by"]["stands_in_for"] is None, told["made_by"]
    assert told["decided_by"] == "asks:v1"


def test_a_deleted_engine_is_gone(admin: httpx.Client) -> None:
    assert upload(admin, engine_file(), "short-lived").status_code == 201
    assert admin.delete("/engines/short-lived:v1").json()["deleted"] is True
    problem(admin.delete("/engines/short-lived:v1"), 404, "engine-not-found")
    problem(admin.post("/engines/select", json={"engine_id": "short-lived:v1"}), 404, "engine-not-found")
    problem(admin.delete("/engines/spot_optimizer_v1"), 409, "engine-in-use")
