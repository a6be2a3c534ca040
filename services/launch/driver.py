"""Deploys the applications on a Ray head, waits until it is told to stop, and ends what it started.

Run by `cloudoptim up` as a process of its own, `python -m services.launch.driver ADDRESS PID`: Serve reads its
environment once, when it is imported. Says `deployed` on its output when both applications answer; end of input means
stop, also when `up` was killed: then the Ray head with process id PID ends with it.
"""

import asyncio
import contextlib
import os
import signal
import sys

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import HTTPOptions

from services.app import build_api, build_ui_app
from services.deployments.actors import GAP_FILLER, LIVE_LOOP, NAMESPACE
from services.deployments.reconciler import end
from services.settings import Settings


def main(address: str, head_pid: int) -> None:
    """Deploy, say so, wait, end."""
    settings = Settings.load()
    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="WARNING")
    serve.start(http_options=HTTPOptions(host=settings.host, port=settings.port))
    serve.run_many(
        [
            serve.RunTarget(build_api({}), name="api", route_prefix="/"),
            serve.RunTarget(build_ui_app({}), name="ui", route_prefix="/ui"),
        ]
    )
    print("deployed", flush=True)  # noqa: T201 - read by the process that started this one
    sys.stdin.read()
    # The ingress first, for it would start the actors again.
    serve.delete("api", _blocking=True)
    asyncio.run(_end_actors())
    serve.shutdown()
    ray.shutdown()
    with contextlib.suppress(ProcessLookupError):
        os.kill(head_pid, signal.SIGTERM)


async def _end_actors() -> None:
    """The loop first: it hands its last prices to the gap filler."""
    for name in (LIVE_LOOP, GAP_FILLER):
        with contextlib.suppress(ValueError, RayError):
            await end(ray.get_actor(name, namespace=NAMESPACE))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
