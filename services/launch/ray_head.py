"""One Ray head of our own: its own folder and ports, so that several servers live side by side on a machine."""

import secrets
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Serve waits this long for direct requests to end when a replica goes; streams resume by themselves.
DRAIN_S = 2
# Ray's own default store is 30 % of memory; what we put there is one feature block.
OBJECT_STORE_BYTES = 256 * 1024**2
# Sockets below the temporary directory must stay under the 107 bytes of a Unix address, and Serve puts a folder of
# 56 characters between.
SHORT_TMP = "/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir()


@dataclass(frozen=True)
class RayHead:
    """Where one Ray head lives; `env` is what each of its processes, and whoever speaks to it, must have."""

    temp_dir: Path
    python: str
    gcs_port: int
    dashboard_port: int
    agent_port: int
    client_port: int
    env: dict[str, str]

    @property
    def address(self) -> str:
        """What `ray.init` connects to."""
        return f"127.0.0.1:{self.gcs_port}"

    @property
    def dashboard_url(self) -> str:
        """The dashboard, on loopback."""
        return f"http://127.0.0.1:{self.dashboard_port}"


def plan_head() -> RayHead:
    """Choose a folder and free ports for a new head."""
    temp_dir = Path(SHORT_TMP) / f"co-{secrets.token_hex(4)}"
    temp_dir.mkdir(mode=0o700)
    python = _python_without_spaces(temp_dir)
    gcs, dashboard, agent, client, stats, metrics, fallback, fallback_grpc, low = free_ports(9)
    env = {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(temp_dir / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(temp_dir / "a.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(temp_dir / "m.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(temp_dir),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(temp_dir / "state"),
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "10",
        # A replica that dies takes no request with it: one that got no byte of an answer is asked of another.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(fallback_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAIN_S),
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": str(DRAIN_S),
        # A window of ports of our own: the default one starts at 30000 for every server of a machine.
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(low),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(low + 200),
        # Ray's API runs code for whoever reaches it: only this start's own processes know the token.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "BENTOML_DO_NOT_TRACK": "True",
    }
    return RayHead(temp_dir, python, gcs, dashboard, agent, client, env)


def _python_without_spaces(temp_dir: Path) -> str:
    """This Python by a path that Ray can put into command lines, which it splits at spaces."""
    if not any(character.isspace() for character in sys.prefix + sys.executable):
        return sys.executable
    link = temp_dir / "env"
    link.symlink_to(sys.prefix, target_is_directory=True)
    return str(link / Path(sys.executable).relative_to(sys.prefix))


def start_head(head: RayHead, env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start the head as a child of this process; every replica and actor will have `env`."""
    command = [
        head.python,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        "--node-ip-address=127.0.0.1",
        f"--port={head.gcs_port}",
        f"--ray-client-server-port={head.client_port}",
        f"--temp-dir={head.temp_dir}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={head.dashboard_port}",
        f"--dashboard-agent-listen-port={head.agent_port}",
        "--include-dashboard=true",
        "--disable-usage-stats",
        # Ours ask for no core, they share what there are; Ray would start an idle worker for each it is told of.
        "--num-cpus=1",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
    ]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now, below the range from which clients get theirs."""
    found: list[int] = []
    while len(found) < count:
        port = 20000 + secrets.randbelow(10000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if all(abs(port - other) > 250 for other in found):
            found.append(port)
    return found
