"""Whose port it is: free, ours from an unclean stop, or somebody else's."""

import socket
from collections.abc import Sequence

from services.errors import Unavailable
from services.launch.processes import Recorded, listener


def claim_port(host: str, port: int) -> None:
    """Raises `Unavailable`, naming who has the port, when it cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Unavailable(f"port {port}", _holder(port)) from error
    # An orphaned proxy listens with SO_REUSEPORT, so that binding alone does not notice it.
    if listener(port) is not None:
        raise Unavailable(f"port {port}", _holder(port))


def _holder(port: int) -> str:
    process = listener(port)
    if process is None:
        return "another program listens there; set ML_SERVER_PORT to a free port"
    name, pid = process.name(), process.pid
    if name == "haproxy":
        return (
            f"a proxy of another Ray Serve (process {pid}) listens there; end it with `kill {pid}` if its server "
            "is gone, or set ML_SERVER_PORT to a free port"
        )
    return f"{name} (process {pid}) listens there; end it, or set ML_SERVER_PORT to a free port"


def still_running(recorded: Sequence[Recorded]) -> list[Recorded]:
    """Those of a former start that were left behind."""
    return [process for process in recorded if process.find() is not None]
