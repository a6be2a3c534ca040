"""What may pass to and from Gradio's server: only what draws the page, under a strict Content-Security-Policy.

Gradio brings routes that take uploads, fetch addresses and run functions, for anybody who can reach the port. The page
is a client of the API and needs none of them, so they are not there. Gradio's HTML names its social preview and a web
manifest on other addresses; those lines are left out. Its inline scripts are permitted one by one, by their hash.
"""

import hashlib
import re
from base64 import b64encode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PAGE = "/"
_SERVED = re.compile(r"/(?:assets/|static/|theme\.css$)")
_METHODS = frozenset({"GET", "HEAD"})
_FOREIGN = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>|<link rel="manifest"[^>]*>')
_INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def content_security_policy(html: bytes) -> str:
    """The policy for a page: scripts of our own address and the page's own inline ones.

    'unsafe-eval' is what `gr.HTML` needs for its template and plotly for WebGL traces; inline styles are Svelte's and
    plotly's.
    """
    hashes = " ".join(
        f"'sha256-{b64encode(hashlib.sha256(script).digest()).decode()}'" for script in _INLINE_SCRIPT.findall(html)
    )
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'unsafe-eval' {hashes}".rstrip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'self'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


class Shell:
    """ASGI middleware around the page's application; `head` is the HTML that it adds to the page's head."""

    def __init__(self, app: ASGIApp, head: str) -> None:
        self._app = app
        self._head = head.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 4404, "reason": "The streams are part of the API."})
            return
        path = _path(scope)
        if answer := _refusal(scope, path):
            await answer(scope, receive, send)
        elif path == _PAGE:
            await self._page(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        held = _Held()
        # What the address says of the view is for the page's scripts; Gradio would take some of it for its own.
        await self._app({**scope, "query_string": b""}, receive, held)
        html = _FOREIGN.sub(b"", bytes(held.body)).replace(b"</head>", self._head + b"</head>", 1)
        headers = {**_HEADERS, "Cache-Control": "no-store", "Content-Security-Policy": content_security_policy(html)}
        kept = Headers(raw=held.headers)
        await Response(html, held.status, headers, kept.get("content-type"))(scope, receive, send)


class _Held:
    """Keeps an answer instead of sending it."""

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message["headers"])
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


def _path(scope: Scope) -> str:
    """The path below where the application is mounted; servers differ in whether they cut the prefix off."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and (path == root or path.startswith(f"{root}/")) else path


def _refusal(scope: Scope, path: str) -> Response | None:
    if scope["method"] not in _METHODS:
        return PlainTextResponse("The page only answers GET.", 405, _HEADERS)
    if not path:
        # Relative addresses in the page need the slash; a browser keeps #code=… across the redirect.
        return RedirectResponse(f"{scope.get('root_path', '')}/", 307, _HEADERS)
    if path != _PAGE and not _SERVED.match(path):
        return PlainTextResponse("There is nothing here; the API is under /api/v1/ml.", 404, _HEADERS)
    return None


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-cache")
        await send(message)

    return with_headers
