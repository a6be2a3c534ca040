"""Models on their way in and out: what is good stays whole, what is refused leaves nothing."""

import hashlib
import json
import pickle
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from tests.api.api_models import TrainedModel
from tests.api.api_server import API, Served, until
from tests.api.api_steps import activate, problem, upload

TOMORROW = (datetime.now(UTC) + timedelta(days=2)).date()


def kept(served: Served) -> list[str]:
    """Every file under the models' folder that is none of its furniture."""
    root = served.settings.model_dir
    furniture = {".lock", "writer.lock"}
    return sorted(
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name not in furniture
    )


@pytest.fixture
def nothing_remains(served: Served) -> Any:
    """Fails a test after which the models' folder holds something that it did not hold before."""
    before = kept(served)
    yield
    assert kept(served) == before


class Runs:
    """Unpickles by running a command."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, (f"__import__('pathlib').Path({str(self.canary)!r}).touch()",)


def live_model(api: httpx.Client) -> str:
    """Which model the live loop predicted with last."""
    return str(api.get("/predictions/latest").json()["models"]["spot_interruption"]["model_id"])


def test_a_good_model_goes_all_the_way(served: Served, admin: httpx.Client, interruption: TrainedModel) -> None:
    row = upload(admin, interruption, "whole-way", trained_until=datetime.now(UTC).date())
    assert row.status_code == 201
    told = row.json()
    sha256 = hashlib.sha256(interruption.file).hexdigest()
    assert told["model_id"] == "whole-way:v1"
    assert told["status"] == "inactive"
    assert told["sha256"] == sha256
    assert told["trained_until"] == datetime.now(UTC).date().isoformat()
    assert told["gap_days"] == 0
    assert told in admin.get("/models/list").json()

    details = admin.get("/models/whole-way:v1").json()
    assert details["features"] == list(interruption.features)
    assert details["metrics"] == interruption.metadata["metrics"]
    assert sum(details["feature_importance"].values()) == pytest.approx(1)
    assert details["activation_history"] == []

    download = admin.get("/models/whole-way:v1/download")
    assert download.content == interruption.file
    assert download.headers["x-content-sha256"] == sha256
    assert admin.delete("/models/whole-way:v1").json() == {"model_id": "whole-way:v1", "deleted": True}
    problem(admin.get("/models/whole-way:v1"), 404, "model-not-found")
    problem(admin.get("/models/whole-way:v1/download"), 404)
    assert not any("whole-way" in path for path in kept(served))


def test_activating_swaps_and_rolling_back_swaps_back(admin: httpx.Client, interruption: TrainedModel) -> None:
    ask = {"instance_type": "m5.large", "region": "us-east-1"}
    before = admin.post("/predict/spot-interruption", json=ask).json()
    assert upload(admin, interruption, "swapped", "v9", datetime.now(UTC).date()).status_code == 201
    told = activate(admin, "swapped:v9")
    assert (told["task"], told["previous"]) == ("spot_interruption", before["model_id"])
    during = admin.post("/predict/spot-interruption", json=ask).json()
    assert (during["model_id"], during["generation"]) == ("swapped:v9", before["generation"] + 1)
    problem(admin.delete("/models/swapped:v9"), 409, "model-in-use")
    assert until(lambda: live_model(admin) == "swapped:v9", 20)
    rows = {row["model_id"]: row["status"] for row in admin.get("/models/list").json()}
    assert rows["swapped:v9"] == "active"
    assert rows[before["model_id"]] == "inactive"

    back = admin.post("/models/rollback", json={"task": "spot_interruption"})
    assert back.json()["model_id"] == before["model_id"]
    after = admin.post("/predict/spot-interruption", json=ask).json()
    assert (after["model_id"], after["generation"]) == (before["model_id"], before["generation"] + 2)
    turns = admin.get("/models/swapped:v9").json()["activation_history"]
    assert [turn["generation"] for turn in turns] == [during["generation"]]
    assert admin.delete("/models/swapped:v9").status_code == 200


@pytest.mark.usefixtures("nothing_remains")
def test_a_version_is_never_overwritten(admin: httpx.Client, interruption: TrainedModel) -> None:
    problem(upload(admin, interruption, "spot-interruption"), 409, "model-exists")


@pytest.mark.usefixtures("nothing_remains")
@pytest.mark.parametrize(
    ("name", "version", "trained_until", "field"),
    [
        ("UPPER", "v1", "2026-01-01", "model_name"),
        ("../escape", "v1", "2026-01-01", "model_name"),
        ("a" * 64, "v1", "2026-01-01", "model_name"),
        ("ok", "v 1", "2026-01-01", "version"),
        ("ok", "", "2026-01-01", "version"),
        ("ok", "latest", "2026-01-01", "version"),
        ("ok", "v1", "yesterday", "trained_until_date"),
        ("ok", "v1", "2026-02-30", "trained_until_date"),
        ("ok", "v1", "20260101", "trained_until_date"),
        ("ok", "v1", "0001-01-01", "trained_until_date"),
        ("ok", "v1", str(TOMORROW), "trained_until_date"),
    ],
)
def test_names_and_dates_that_cannot_be_meant(
    admin: httpx.Client, interruption: TrainedModel, name: str, version: str, trained_until: str, field: str
) -> None:
    assert problem(upload(admin, interruption, name, version, trained_until), 422)["field"] == field


@pytest.mark.usefixtures("nothing_remains")
@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ("{", "metadata"),
        ("[1]", "metadata"),
        ("[" * 100_000, "metadata"),
        ('{"task": "weather"}', "metadata.task"),
        ('{"horizon_hours": 0}', "metadata.horizon_hours"),
        ('{"horizon": 1}', "metadata.horizon"),
        ('{"metrics": {"auc": NaN}}', "metadata"),
        ('{"metrics": {"auc": 1e999}}', "metadata"),
        ('{"reference_sample": [{"price": Infinity}]}', "metadata"),
    ],
)
def test_metadata_that_cannot_be_meant(
    admin: httpx.Client, interruption: TrainedModel, metadata: str, field: str
) -> None:
    told = problem(upload(admin, interruption, "bad-metadata", metadata=metadata), 422)
    assert told["field"].startswith(field)


@pytest.mark.usefixtures("nothing_remains")
def test_an_unknown_feature_is_named_with_the_nearest(admin: httpx.Client) -> None:
    table = pd.DataFrame({"price_ration": [0.1, 0.2, 0.3, 0.4], "price": [1.0, 2.0, 3.0, 4.0]})
    model = GradientBoostingClassifier(n_estimators=2).fit(table, [0, 1, 0, 1])
    told = problem(upload(admin, pickle.dumps(model), "odd-features"), 422, "model-refused")
    assert told["code"] == "unknown-feature"
    assert "price_ration" in told["detail"]
    assert "price_ratio" in told["detail"]


@pytest.mark.usefixtures("nothing_remains")
def test_files_that_are_no_models(admin: httpx.Client, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for data in (
        pickle.dumps(Runs(canary)),
        b"a,b,c\n1,2,3\n",
        pickle.dumps([1, 2, 3]),
    ):
        told = problem(upload(admin, data, "no-model"), 422, "model-refused")
        assert told["field"] == "file"
    assert not canary.exists()


@pytest.mark.usefixtures("nothing_remains")
def test_a_file_over_the_limit(served: Served, admin: httpx.Client) -> None:
    limit = served.settings.model_upload_max_bytes
    for size in (limit + 1, limit + 1024**2):
        told = problem(upload(admin, b"x" * size, "too-large"), 413, "too-large")
        assert told["limit_bytes"] >= limit


@pytest.mark.usefixtures("nothing_remains")
def test_an_upload_that_breaks_off(served: Served, interruption: TrainedModel) -> None:
    boundary = "xyz"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="m.pkl"\r\n\r\n'.encode()
    body = head + interruption.file[:5000]
    lines = [
        f"POST {API}/models/upload HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {served.tokens['operator']}",
        f"Content-Type: multipart/form-data; boundary={boundary}",
        f"Content-Length: {len(body) + 50_000}",
        "",
        "",
    ]
    host, port = served.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall("\r\n".join(lines).encode() + body)
    # The server is still there, and whole.
    with served.client("operator") as operator:
        assert operator.get("/models/list").status_code == 200


@pytest.mark.usefixtures("nothing_remains")
def test_a_form_that_is_none(admin: httpx.Client) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=xyz"}
    problem(admin.post("/models/upload", content=b"--xyz\r\nnonsense", headers=form), 422)
    problem(admin.post("/models/upload", content=b"{}", headers={"Content-Type": "application/json"}), 422)
    missing = admin.post("/models/upload", data={"model_name": "x"}, files={"other": ("x", b"x")})
    fields = {place["field"] for place in problem(missing, 422)["errors"]}
    assert fields == {"file", "version", "trained_until_date"}


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"model_id": "nobody:v1"}, 404),
        ({"model_id": "nobody"}, 422),
        ({"model_id": "spot-interruption:v1", "version": "v2"}, 422),
        ({"model_id": "../../etc:v1"}, 404),
        ({"model_id": 5}, 422),
        ({"model_id": "spot-interruption:v1", "task": "spot_price"}, 422),
    ],
)
def test_activating_what_cannot_be(admin: httpx.Client, order: dict[str, Any], status: int) -> None:
    problem(admin.post("/models/activate", json=order), status)


def test_a_misspelt_model_is_told_the_nearest(admin: httpx.Client) -> None:
    told = problem(admin.get("/models/spot-interuption:v1"), 404, "model-not-found")
    assert "spot-interruption:v1" in told["nearest"]
    assert "spot-interruption:v1" in told["advice"]


def test_a_version_beside_the_name_will_do(admin: httpx.Client) -> None:
    order = {"model_id": "spot-interruption", "version": "v1"}
    assert admin.post("/models/activate", json=order).json()["model_id"] == "spot-interruption:v1"


def test_a_model_id_in_capitals_is_the_same_model(admin: httpx.Client) -> None:
    assert admin.get("/models/SPOT-Interruption:V1").json()["model_id"] == "spot-interruption:v1"
    assert admin.post("/models/activate", json={"model_id": "Spot-Interruption:v1"}).json()["model_id"] == (
        "spot-interruption:v1"
    )


def test_each_upload_and_deletion_is_in_the_audit_log(admin: httpx.Client, interruption: TrainedModel) -> None:
    upload(admin, interruption, "audited", metadata=json.dumps({"horizon_hours": 24}))
    admin.delete("/models/audited:v1")
    entries = [e for e in admin.get("/audit", params={"limit": 50}).json() if e["target"] == "audited:v1"]
    assert [entry["action"] for entry in entries] == ["model.deleted", "model.uploaded"]
    assert all(entry["request_id"] for entry in entries)
