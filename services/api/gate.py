"""The gate in front of every route, which denies by default: identity, role, limits and sizes before a body is read."""

import re
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeVar

import structlog
from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ulid import ULID

from services import telemetry
from services.api.house import House
from services.api.problems import problem_for, render
from services.errors import Forbidden, RequestInvalid, ServerError, TooLarge, Unauthenticated
from services.keys import Principal, Role

COOKIE = "cloudoptim_session"
BODY_LIMIT = 4 * 1024**2
MULTIPART_ALLOWANCE = 256 * 1024
# What the API is; the page that shows it asks for a token before it can do anything.
DOCUMENTS = frozenset({"/docs", "/docs/oauth2-redirect", "/openapi.json"})
# What these do is in the log; what is only asked, thousands of times a second, is so at the level debug.
CHANGING: tuple[Role, ...] = ("operator", "admin")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_log = structlog.get_logger(__name__)
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def needs(role: Role | None, *, upload: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Say which role an endpoint needs (None: nobody has to sign in), and whether its body is an uploaded file."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.__gate__ = (role, upload)  # type: ignore[attr-defined]
        return endpoint

    return mark


def rule_of(route: object) -> tuple[Role | None, bool] | None:
    """(role, upload) of a route; None for a route that says nothing, which nobody may use."""
    if getattr(route, "path", "") in DOCUMENTS:
        return None, False
    if isinstance(route, (APIRoute, APIWebSocketRoute)):
        rule: tuple[Role | None, bool] | None = getattr(route.endpoint, "__gate__", None)
        return rule
    return None


class Gate:
    """ASGI middleware around the application; sets `scope["state"]["principal"]`."""

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else str(ULID())
        token = telemetry.request_id.set(request_id)
        try:
            await self._admit(scope, headers, request_id, receive, send)
        finally:
            telemetry.request_id.reset(token)

    async def _admit(self, scope: Scope, headers: Headers, request_id: str, receive: Receive, send: Send) -> None:
        house: House = self._api.state.house
        watch = _Watch(send, request_id)
        route = self._route(scope)
        template, rule = getattr(route, "path", UNKNOWN), rule_of(route)
        began = time.perf_counter()
        try:
            limit = self._check(scope, headers, rule, house)
            if route is not None and rule is None:
                raise Forbidden(scope["state"]["principal"].role, "(none: the route declares no role)")
            body = _LimitedBody(receive, limit)
            watch.refuse_when = lambda: body.over
            try:
                await self._app(scope, body, watch)
            except TooLarge:
                if watch.started:
                    raise
            if body.over and not watch.started:
                raise TooLarge(limit)
        except ServerError as error:
            await self._refuse(scope, error, receive, watch)
        except Exception as error:
            if watch.started and scope["type"] == "http":
                raise
            await self._refuse(scope, error, receive, watch)
        if scope["type"] == "http":
            took = time.perf_counter() - began
            house.metrics.requests.labels(method=scope["method"], route=template, status=str(watch.status)).inc()
            house.metrics.request_seconds.labels(route=template).observe(took)
            changes = rule is not None and rule[0] in CHANGING and scope["method"] not in SAFE_METHODS
            tell = _log.info if changes or watch.status >= 500 else _log.debug
            tell("request_answered", route=template, status=watch.status, ms=round(took * 1000, 2))

    def _route(self, scope: Scope) -> BaseRoute | None:
        return next((r for r in self._api.router.routes if r.matches(scope)[0] is Match.FULL), None)

    def _check(self, scope: Scope, headers: Headers, rule: tuple[Role | None, bool] | None, house: House) -> int:
        """The most bytes its body may have; raises what keeps it out."""
        _check_host(headers, house.settings.host_names)
        role, upload = rule if rule else ("viewer", False)
        scope.setdefault("state", {})["principal"] = None
        if role is not None:
            principal = self._identify(scope, headers, house)
            scope["state"]["principal"] = principal
            house.rate.spend(principal.key_id)
            if not principal.may(role):
                raise Forbidden(principal.role, role)
        limit = house.settings.model_upload_max_bytes + MULTIPART_ALLOWANCE if upload else BODY_LIMIT
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise TooLarge(limit)
        return limit

    def _identify(self, scope: Scope, headers: Headers, house: House) -> Principal:
        """Who asks; a valid key is never kept out because of others' failures behind the same address."""
        try:
            if token := _token(headers):
                return house.keys.verify(token)
            if cookie := session_cookie(headers):
                principal = house.sessions.verify_session(cookie)
                if scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS:
                    _check_origin(headers)
                return principal
        except Unauthenticated:
            client = scope.get("client")
            asker = f"token from {client[0] if client else ''}"
            house.failed_sign_ins.check(asker)
            house.failed_sign_ins.failed(asker)
            raise
        raise Unauthenticated("No token was sent.")

    async def _refuse(self, scope: Scope, error: Exception, receive: Receive, watch: "_Watch") -> None:
        if scope["type"] == "http":
            await render(error, scope["path"])(scope, _nothing, watch.forced)
            return
        problem = problem_for(error)
        code, reason = (problem.close_code, problem.title) if problem else (1011, "")
        # Only an open WebSocket has a close code that a browser's script can read.
        if not watch.started:
            await receive()
            await watch.forced({"type": "websocket.accept"})
        await watch.forced({"type": "websocket.close", "code": code, "reason": reason})


UNKNOWN = "(no such route)"


class _LimitedBody:
    """Counts what comes in; past the limit the application's reading ends with `TooLarge`."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._left = limit
        self._limit = limit
        self.over = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.over = True
                raise TooLarge(self._limit)
        return message


class _Watch:
    """Adds the headers that every answer carries and remembers the status; an answer to a cut-off body is dropped."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.refuse_when: Callable[[], bool] = lambda: False
        self.started = False
        self.status = 500

    async def __call__(self, message: Message) -> None:
        if self.refuse_when() and not self.started:
            return
        await self.forced(message)

    async def forced(self, message: Message) -> None:
        """Send it whatever the body was."""
        self.started = self.started or message["type"] == "websocket.accept"
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._request_id
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _token(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return headers.get("x-api-key", "")


def session_cookie(headers: Headers) -> str:
    """The session cookie of a request, "" without one."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _check_host(headers: Headers, names: tuple[str, ...]) -> None:
    """Against DNS rebinding: a page of another site may reach this port, but not under a name that we go by."""
    if "*" in names:
        return
    host = headers.get("host", "")
    name = host.rsplit(":", 1)[0].strip("[]") if not host.endswith("]") else host.strip("[]")
    if name.lower() not in names:
        raise RequestInvalid("Host", f"{name[:80]!r} is not a name of this server.", "Add it to ALLOWED_HOSTS.")


def _check_origin(headers: Headers) -> None:
    """A browser says where a request comes from; with a cookie, only our own pages may ask."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        raise Unauthenticated("The request comes from another site's page.")
