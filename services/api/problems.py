"""Errors as RFC 9457 problem documents: what of the table fits an error, how it is laid out, where it is installed."""

import math
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

import engines.errors as engine_errors
import gapfill.errors as gapfill_errors
from services import errors
from services.api.problem_table import TABLE, Problem

MEDIA_TYPE = "application/problem+json"
SOCKET_INVALID = 4422
ADVICE = {
    404: "GET /docs lists the routes.",
    405: "GET /docs lists the routes.",
    415: "Send it with Content-Type: application/json.",
}
TYPE_BASE = "urn:cloudoptim:problem:"
_log = structlog.get_logger(__name__)


def problem_for(error: Exception) -> Problem | None:
    """The table's line for an error, by its nearest listed ancestor."""
    return next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)


def document(
    status: int, slug: str, title: str, detail: str, advice: str, instance: str, more: dict[str, Any]
) -> dict[str, Any]:
    """A problem document as RFC 9457 lays it out, with our members beside the standard ones."""
    return {
        "type": TYPE_BASE + slug,
        "title": title,
        "status": status,
        "detail": detail,
        "advice": advice,
        "instance": instance,
        **more,
    }


def respond(document_: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    """The HTTP answer of a problem document; under `/v2`, the Open Inference Protocol's own form of an error."""
    if document_["instance"] == "/v2" or document_["instance"].startswith("/v2/"):
        told = {"error": f"{document_['detail']} {document_['advice']}"}
        return JSONResponse(told, status_code=document_["status"], headers=headers)
    return JSONResponse(document_, status_code=document_["status"], media_type=MEDIA_TYPE, headers=headers)


def render(error: Exception, instance: str) -> JSONResponse:
    """The HTTP answer to any error; one that is not in the table is logged and answered with 500 and nothing of it."""
    problem = problem_for(error)
    if problem is None:
        _log.error("unexpected_error", instance=instance, exc_info=error)
        return respond(
            document(
                500,
                "internal",
                "The server failed",
                "Something went wrong here, not in the request.",
                "Try again; the server's log has the request's id.",
                instance,
                {},
            )
        )
    detail, advice, more = problem.words(error)
    headers = {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.TooManyRequests):
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if isinstance(error, errors.ModelResting):
        headers["Retry-After"] = str(max(1, math.ceil(error.seconds)))
    return respond(document(problem.status, problem.slug, problem.title, detail, advice, instance, more), headers)


def invalid(problems: list[Any], instance: str) -> JSONResponse:
    """The answer to a body or a query that does not fit its schema: every place, in one document."""
    places = [
        {"field": ".".join(str(part) for part in p["loc"] if part not in ("body", "query", "path")), "detail": p["msg"]}
        for p in problems
    ]
    broken = any(p["type"] in ("json_invalid", "json_type") for p in problems)
    first = places[0] if places else {"field": "", "detail": "does not fit"}
    return respond(
        document(
            400 if broken else 422,
            "invalid-json" if broken else "invalid-value",
            "The body is not JSON" if broken else "A value does not fit",
            f"{first['field'] or 'body'}: {first['detail']}",
            "GET /docs shows what fits where.",
            instance,
            {"field": first["field"], "errors": places},
        )
    )


def plain(status: int, detail: str, instance: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer to what HTTP itself has a status for, such as a path that leads nowhere."""
    title = HTTPStatus(status).phrase
    advice = ADVICE.get(status, "Mend the request.")
    slug = title.lower().replace(" ", "-")
    return respond(document(status, slug, title, detail, advice, instance, {}), headers)


def _is_taken_for_text(request: Request, error: RequestValidationError) -> bool:
    """Whether a body was not even read as JSON, for its media type does not say so."""
    whole = any(tuple(place["loc"]) == ("body",) for place in error.errors() if place["type"] != "missing")
    return whole and "json" not in request.headers.get("content-type", "")


def install(app: FastAPI) -> None:
    """Make every error of the application a problem document."""

    async def known(request: Request, error: Exception) -> Response:
        return render(error, request.url.path)

    async def schema(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if _is_taken_for_text(request, error):
            return plain(415, "The body is not said to be JSON.", request.url.path)
        return invalid(list(error.errors()), request.url.path)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return plain(error.status_code, str(error.detail), request.url.path, dict(error.headers or {}))

    async def socket(connection: WebSocket, error: Exception) -> None:
        assert isinstance(error, WebSocketRequestValidationError)
        first = error.errors()[0]
        await connection.accept()
        await connection.close(SOCKET_INVALID, f"{first['loc'][-1]}: {first['msg']}"[:120])

    for kind in (errors.ServerError, gapfill_errors.GapFillError, engine_errors.EnginesError):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, schema)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(WebSocketRequestValidationError, socket)
