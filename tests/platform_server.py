"""A central platform on a real socket: it remembers what it gets and answers as it is told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One POST."""

    key: str
    authorization: str
    path: str
    body: dict[str, Any]
    status: int


@dataclass
class Platform:
    """`answers` are the statuses of the next POSTs (0: hold the line until `release` is set); then all are 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)  # clusters whose decisions are answered with 500
    headers: dict[str, str] = field(default_factory=dict)
    clusters: Any = None
    received: list[Received] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def delivered(self) -> list[str]:
        """The keys of what was taken, each once, in order."""
        with self.lock:
            return list(dict.fromkeys(one.key for one in self.received if one.status == 200))


@contextmanager
def central_platform() -> Iterator[Platform]:
    """Serve while the block runs."""
    platform = Platform()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with platform.lock:
                status = platform.answers.pop(0) if platform.answers else 200
                status = 500 if body["cluster_id"] in platform.refuses else status
                key, authorization = self.headers["Idempotency-Key"], self.headers.get("Authorization", "")
                platform.received.append(Received(key, authorization, self.path, body, status))
            if status == 0:
                platform.release.wait(30)
                return
            self._answer(status, {})

        def do_GET(self) -> None:
            known = platform.clusters is not None and self.path == "/api/clusters"
            self._answer(200 if known else 404, platform.clusters)

        def _answer(self, status: int, body: object) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in platform.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        platform.url = f"http://127.0.0.1:{server.server_address[1]}/api"
        try:
            yield platform
        finally:
            platform.release.set()
            server.shutdown()
            thread.join(10)
