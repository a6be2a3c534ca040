"""Errors as RFC 9457 problem documents: one table maps each error type to a status, a close code and words.

Every problem has a stable `type`, says what was wrong (`detail`), where (`field`, or the instance) and what to do
(`advice`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

import engines.errors as engine_errors
import gapfill.errors as gapfill_errors
from services import errors

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "urn:cloudoptim:problem:"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error looks like from outside; `words` gives (detail, advice, further members)."""

    status: int
    slug: str
    title: str
    words: Callable[[Any], tuple[str, str, dict[str, Any]]]

    @property
    def close_code(self) -> int:
        """The WebSocket close code: 4000 + status, as is usual for application codes."""
        return 4000 + self.status


def _near(nearest: tuple[str, ...]) -> str:
    return f"Did you mean {', '.join(nearest)}?" if nearest else ""


TABLE: dict[type[Exception], Problem] = {
    errors.Unauthenticated: Problem(
        401,
        "unauthenticated",
        "Credentials are missing or not valid",
        lambda e: (e.detail, "Send Authorization: Bearer <token>; `cloudoptim keys create` makes one.", {}),
    ),
    errors.Forbidden: Problem(
        403,
        "forbidden",
        "The key's role does not reach",
        lambda e: (
            f"This needs the role {e.needed}; the key has {e.role}.",
            f"Use a key with the role {e.needed} or above.",
            {"needed": e.needed},
        ),
    ),
    errors.TooManyRequests: Problem(
        429,
        "too-many-requests",
        "The limit is used up",
        lambda e: (
            "Too many requests.",
            f"Try again in {e.retry_after_s:.0f} s.",
            {"retry_after_s": round(e.retry_after_s, 1)},
        ),
    ),
    errors.TooLarge: Problem(
        413,
        "too-large",
        "The body is too large",
        lambda e: (
            f"The body is over {e.limit_bytes} bytes.",
            "Send less, or raise the limit in the settings.",
            {"limit_bytes": e.limit_bytes},
        ),
    ),
    errors.RequestInvalid: Problem(
        422,
        "invalid-value",
        "A value cannot be meant",
        lambda e: (e.detail, e.advice, {"field": e.field}),
    ),
    errors.ModelNotFound: Problem(
        404,
        "model-not-found",
        "No such model version",
        lambda e: (
            f"There is no model version {e.model_id!r}.",
            _near(e.nearest) or "GET models/list shows those there are.",
            {"model_id": e.model_id, "nearest": list(e.nearest)},
        ),
    ),
    errors.ModelExists: Problem(
        409,
        "model-exists",
        "The model version exists",
        lambda e: (
            f"{e.model_id} was uploaded before; versions are never overwritten.",
            "Upload it under another version.",
            {"model_id": e.model_id},
        ),
    ),
    errors.ModelInUse: Problem(
        409,
        "model-in-use",
        "The model version is in use",
        lambda e: (
            f"{e.model_id} is {e.used_as}.",
            "Activate another version of its task first.",
            {"model_id": e.model_id},
        ),
    ),
    errors.ModelRefused: Problem(
        422,
        "model-refused",
        "The file is not a model that is let in",
        lambda e: (e.detail, e.advice, {"field": "file", "code": e.code}),
    ),
    errors.NoActiveModel: Problem(
        409,
        "no-active-model",
        "No model is active",
        lambda e: (
            f"No model version is active for the task {e.task}.",
            "Upload one (POST models/upload) and activate it (POST models/activate).",
            {"task": e.task},
        ),
    ),
    errors.PoolUnknown: Problem(
        404,
        "pool-unknown",
        "No such pool is tracked",
        lambda e: (f"No tracked pool matches {e.asked}.", e.advice, {}),
    ),
    errors.ClusterUnknown: Problem(
        404,
        "cluster-unknown",
        "No such cluster",
        lambda e: (
            f"No cluster {e.cluster_id!r} is registered.",
            "Register it with PUT clusters/{cluster_id}, or send its requirements.",
            {"cluster_id": e.cluster_id},
        ),
    ),
    errors.DataStale: Problem(
        503,
        "data-stale",
        "The data is too old to answer from",
        lambda e: (
            f"The newest data is of {e.data_as_of.isoformat() if e.data_as_of else 'no instant yet'}; "
            f"at most {e.allowed_s:.0f} s are allowed.",
            "Try again shortly; GET readyz says what the server waits for.",
            {"data_as_of": e.data_as_of.isoformat() if e.data_as_of else None},
        ),
    ),
    errors.Unavailable: Problem(
        503,
        "unavailable",
        "A part of the server is not ready",
        lambda e: (f"{e.part}: {e.detail}", "Try again shortly; GET readyz shows each part.", {"part": e.part}),
    ),
    errors.StoreUnavailable: Problem(
        503,
        "store-unavailable",
        "The store does not answer",
        lambda e: (e.detail, "Try again shortly.", {}),
    ),
    errors.RevisionConflict: Problem(
        409,
        "changed-meanwhile",
        "Somebody else changed it first",
        lambda e: (f"{e.kind} {e.key} was changed meanwhile.", "Read it again and repeat.", {}),
    ),
    engine_errors.EngineNotFound: Problem(
        404,
        "engine-not-found",
        "No such engine",
        lambda e: (
            f"There is no engine {e.engine_id!r}.",
            _near(e.nearest) or "GET engines/list shows those there are.",
            {"engine_id": e.engine_id, "nearest": list(e.nearest)},
        ),
    ),
    engine_errors.EngineConfigInvalid: Problem(
        422,
        "engine-config-invalid",
        "The config does not fit the engine",
        lambda e: (
            str(e),
            f"GET engines/{e.engine_id}/metadata has the config's schema.",
            {"errors": [{"field": path, "detail": what} for path, what in e.problems]},
        ),
    ),
    engine_errors.EngineFailed: Problem(
        502,
        "engine-failed",
        "The engine did not decide",
        lambda e: (
            f"{e.engine_id}: {e.detail}",
            "Select another engine, or mend and upload this one.",
            {"engine_id": e.engine_id},
        ),
    ),
    engine_errors.EngineNotSelected: Problem(
        409,
        "no-engine-selected",
        "No engine is selected",
        lambda e: ("Nothing can decide yet.", "Select an engine with POST engines/select.", {}),
    ),
    gapfill_errors.GapUnknown: Problem(
        409,
        "no-active-model",
        "No gap is known",
        lambda e: (
            "No model is active, so there is no trained_until to start from.",
            "Activate a model, or send trained_until.",
            {"field": "trained_until"},
        ),
    ),
    gapfill_errors.FillRequestInvalid: Problem(
        422,
        "invalid-value",
        "A value cannot be meant",
        lambda e: (
            f"{e.field}: {e.value!r} cannot be meant.",
            f"Send {e.advice}.",
            {"field": e.field},
        ),
    ),
    gapfill_errors.FeatureRequestInvalid: Problem(
        422,
        "invalid-value",
        "A value cannot be meant",
        lambda e: (f"{e.field} {e.detail}.", f"{e.advice[:1].upper()}{e.advice[1:]}.", {"field": e.field}),
    ),
    gapfill_errors.UnknownPlace: Problem(
        422,
        "unknown-place",
        "Nobody offers this",
        lambda e: (
            f"There is no {e.what.replace('_', ' ')} {e.name!r}.",
            _near(e.nearest) or "GET operations/places shows what the market offers.",
            {"field": e.what, "nearest": list(e.nearest)},
        ),
    ),
    gapfill_errors.JobNotFound: Problem(
        404,
        "fill-not-found",
        "No such fill",
        lambda e: (f"There is no fill {e.task_id!r}.", "GET gap-filler/history lists them.", {"task_id": e.task_id}),
    ),
    gapfill_errors.JobFinished: Problem(
        409,
        "fill-finished",
        "The fill has ended",
        lambda e: (f"{e.task_id} has ended: {e.status}.", "Nothing is left to cancel.", {"task_id": e.task_id}),
    ),
    gapfill_errors.PriceFileInvalid: Problem(
        422,
        "price-file-invalid",
        "The file is not price history",
        lambda e: (
            f"{e.where}: {e.detail}",
            "Send what `aws ec2 describe-spot-price-history` prints, or the same columns as CSV, TSV or Parquet.",
            {"field": "file"},
        ),
    ),
    gapfill_errors.MarketAccessDenied: Problem(
        503,
        "market-access-denied",
        "AWS refuses the server's credentials",
        lambda e: (str(e), "Renew the server's AWS credentials.", {"region": e.region}),
    ),
    gapfill_errors.MarketError: Problem(
        503,
        "market-unavailable",
        "The price source does not answer",
        lambda e: (str(e), "Try again shortly.", {"region": e.region}),
    ),
}


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
    """The HTTP answer of a problem document."""
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


def install(app: FastAPI) -> None:
    """Make every error of the application a problem document."""

    async def known(request: Request, error: Exception) -> Response:
        return render(error, request.url.path)

    async def schema(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return invalid(list(error.errors()), request.url.path)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        title = HTTPStatus(error.status_code).phrase
        advice = "GET /docs lists the routes." if error.status_code in (404, 405) else "Mend the request."
        headers = dict(error.headers or {})
        body = document(error.status_code, "http", title, str(error.detail), advice, request.url.path, {})
        return respond(body, headers)

    for kind in (errors.ServerError, gapfill_errors.GapFillError, engine_errors.EnginesError):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, schema)
    app.add_exception_handler(HTTPException, http)
