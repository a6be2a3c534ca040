"""Steps that API tests share: upload, activate, and what every refusal looks like."""

import json
from datetime import date
from typing import Any

import httpx

from tests.api.api_models import TrainedModel

PROBLEM = "application/problem+json"


def upload(
    api: httpx.Client,
    model: TrainedModel | bytes,
    name: str,
    version: str = "v1",
    trained_until: date | str = "2026-01-01",
    metadata: dict[str, Any] | str | None = None,
) -> httpx.Response:
    """Upload a model or any bytes; without `metadata` the model's own go with it."""
    data = model if isinstance(model, bytes) else model.file
    if metadata is None:
        metadata = {} if isinstance(model, bytes) else model.metadata
    return api.post(
        "/models/upload",
        files={"file": ("model.pkl", data)},
        data={
            "model_name": name,
            "version": version,
            "trained_until_date": str(trained_until),
            "metadata": metadata if isinstance(metadata, str) else json.dumps(metadata),
        },
    )


def activate(api: httpx.Client, model_id: str) -> dict[str, Any]:
    """Activate and return the answer."""
    answer = api.post("/models/activate", json={"model_id": model_id})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def problem(answer: httpx.Response, status: int, slug: str | None = None) -> dict[str, Any]:
    """The problem document of a refusal; fails when it is another status, another type, or no such document."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text[:500]}"
    assert answer.headers["content-type"] == PROBLEM
    document: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "advice", "instance"} <= document.keys()
    assert document["status"] == status
    assert document["type"].startswith("urn:cloudoptim:problem:")
    assert document["instance"] == answer.request.url.path
    assert document["detail"]
    assert document["advice"]
    if slug is not None:
        assert document["type"] == f"urn:cloudoptim:problem:{slug}", document
    return document
