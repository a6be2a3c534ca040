"""From `make run` to the first live prediction: `python -m bench.start [RUNS]`, on a machine that is set up already."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGES = {
    "Ray Serve has deployed": "deployed",
    "Ready.": "ready",
    "Gap filled:": "gap filled",
    "Live:": "first live prediction",
}
PATIENCE_S = 240.0


def one_run(folder: Path) -> dict[str, float]:
    """Stage → seconds since the command was typed, and how long stopping took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    env = {**os.environ, "ML_SERVER_DATA_DIR": str(folder / "data"), "ML_SERVER_PORT": port}
    began = time.monotonic()
    log = folder / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "run", "ARGS=--market simulate"], cwd=ROOT, env=env, stdout=output, start_new_session=True
        )
    seen: dict[str, float] = {}
    while len(seen) < len(STAGES):
        now = time.monotonic() - began
        text = log.read_text()
        if process.poll() is not None or now > PATIENCE_S:
            raise SystemExit(text)
        for word, stage in STAGES.items():
            if stage not in seen and word in text:
                seen[stage] = now
        time.sleep(0.05)
    stopping = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    process.wait(PATIENCE_S)
    said = re.search(r"\[ *([0-9.]+) s\] Live:", log.read_text())
    return {**seen, "as the command says": float(said.group(1)) if said else 0.0, "stop": time.monotonic() - stopping}


def main() -> None:
    """Print each run's figures in seconds."""
    for number in range(1, int(sys.argv[1]) + 1 if len(sys.argv) > 1 else 4):
        with tempfile.TemporaryDirectory() as folder:
            figures = one_run(Path(folder))
        print(f"run {number}: " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in figures.items()))


if __name__ == "__main__":
    main()
