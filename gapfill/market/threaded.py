"""A market in a thread of the calling process, on a free port, for tests and offline pipelines."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette

from gapfill.market.server import address_of, listen, server_of


@contextmanager
def serve_in_thread(app: Starlette) -> Iterator[str]:
    """Serve `app` while the block runs; gives its address, `http://127.0.0.1:<port>`.

    Raises RuntimeError when the server does not start within 10 s.
    """
    listener = listen(0)
    server = server_of(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="market", daemon=True)
    thread.start()
    try:
        _await_start(server.__dict__, thread)
        yield address_of(listener)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def _await_start(server: dict[str, object], thread: threading.Thread) -> None:
    deadline = time.monotonic() + 10
    while not server["started"]:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the market did not start")
        time.sleep(0.005)
