"""Health, readiness and metrics, at the root."""

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from services.api.answers import Json
from services.api.asking import PREFIX, InHouse
from services.api.gate import needs

router = APIRouter(tags=["operations"])


@router.get("/healthz")
@needs(None)
async def healthz() -> dict[str, Any]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_class=Json)
@needs(None)
async def readyz(house: InHouse) -> Response:
    """Each part, whether it is ready and what it says of itself; 503 while one is not."""
    parts = await house.health()
    ready = all(is_ready for is_ready, _ in parts.values())
    body = {
        "status": "ready" if ready else "waiting",
        "parts": {name: {"ready": is_ready, "detail": detail} for name, (is_ready, detail) in parts.items()},
        **house.facts,
    }
    return Json(body, status_code=200 if ready else 503)


@router.get("/metrics")
@needs("viewer")
async def metrics(house: InHouse) -> Response:
    """Prometheus's text format: this process and the actors behind it."""
    return Response(await house.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.get("/", include_in_schema=False)
@needs(None)
def root(house: InHouse) -> dict[str, Any]:
    """Where everything is."""
    return {"name": "CloudOptim ML Server", "api": PREFIX, "ui": "/ui", "docs": "/docs", "ready": "/readyz"}
