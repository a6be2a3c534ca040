"""`cloudoptim up`: the whole server in the foreground, from a clean place to a clean place."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

from gapfill.aws import AwsPriceSource
from services.errors import Unavailable
from services.keys import Keys, Principal
from services.launch.demo import Demo
from services.launch.interruptions import Player
from services.launch.market import AwsIdentity, Choice, SimulatedMarket, environment, is_simulated, start_simulator
from services.launch.places import claim_port, still_running
from services.launch.processes import RunFile, adopt_orphans, descendants, end, reap
from services.launch.ray_head import RayHead, plan_head, start_head
from services.sessions import Sessions
from services.settings import Settings
from services.store.directory import DirectoryLock, bind_market, bind_store_market
from services.store.opening import open_store

DEPLOY_PATIENCE_S = 180.0
STOP_PATIENCE_S = 60.0
SIMULATED_TICK_S = "5"


@dataclass(frozen=True, slots=True)
class UpOptions:
    """How to start; `live_activity` multiplies a simulated market's changes from its first start on."""

    market: Choice = "auto"
    live_activity: float = 200.0
    confirm: Callable[[AwsIdentity], bool] = lambda _: False


class Progress:
    """Lines that a person can follow, each with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        sys.stdout.write(f"[{time.monotonic() - self._began:5.1f} s] {text}\n")
        sys.stdout.flush()


def up(options: UpOptions) -> int:
    """Start everything, serve until a signal, stop everything; the exit code.

    Raises `SettingsInvalid`, `DataDirectoryInUse`, `MarketMismatch`, `Unavailable`, and what the market raises.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    settings = Settings.load()
    say = Progress()
    adopt_orphans()
    with ExitStack() as stack:
        stack.enter_context(DirectoryLock(settings.data_dir))
        run_file = RunFile(settings.data_dir / "run.json")
        _clear_leftovers(run_file, say)
        claim_port(settings.host, settings.port)
        start = _Start(settings, options, say, run_file)
        stack.callback(start.end)
        return start.serve(stop)


class _Start:
    """One start: its children, in the order in which they came, and their end in the other one."""

    def __init__(self, settings: Settings, options: UpOptions, say: Progress, run_file: RunFile) -> None:
        self._settings = settings
        self._options = options
        self._say = say
        self._run_file = run_file
        self._logs = settings.data_dir / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._head: RayHead | None = None
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._driver: subprocess.Popen[bytes] | None = None
        self._player: Player | None = None

    def serve(self, stop: threading.Event) -> int:
        """Start all, wait for `stop` or for a child that ends by itself."""
        settings, say = self._settings, self._say
        simulated = is_simulated(self._options.market, os.environ, self._options.confirm)
        self._head = head = plan_head()
        changes = {**head.env, "ML_SERVER_LOG_DIR": str(self._logs)}
        market = self._start_market() if simulated else None
        if market:
            changes |= market.env
            changes["LIVE_INTERVAL_SECONDS"] = os.environ.get("LIVE_INTERVAL_SECONDS", SIMULATED_TICK_S)
        self._start_head(head, environment(changes))
        self._bind_market(environment(changes))
        demo = Demo(settings, market.address, environment(changes), self._logs, say) if market else None
        if demo:
            demo.start_training()
        token, code = _credentials(settings)
        self._deploy(head, environment(changes), stop)
        if stop.is_set():
            return 0
        self._announce(head, market is not None, token, code)
        if demo:
            demo.set_up(stop)
        if market:
            self._player = Player(settings, market.address, say)
        self._watch(stop)
        return 0

    def end(self) -> None:
        """Stop all that was started; says what it could not stop."""
        self._say("Stopping: streams close, the last prices and predictions are written.")
        if self._player:
            self._player.end()
        if self._driver and self._driver.stdin:
            self._driver.stdin.close()
            try:
                self._driver.wait(STOP_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._say("The applications did not end in time; their processes are ended now.")
        left = end(descendants(), grace_s=3.0)
        for child in self._children.values():
            child.wait(5)
        reap()
        if self._head:
            shutil.rmtree(self._head.temp_dir, ignore_errors=True)
        if left:
            self._say("Still running: " + ", ".join(f"{process.name} ({process.pid})" for process in left))
            return
        self._run_file.remove()
        self._say("Stopped. Nothing is left running.")

    def _start_head(self, head: RayHead, env: dict[str, str]) -> None:
        self._children["Ray"] = start_head(head, env, _fresh_log(self._logs / "ray.log"))
        self._record()
        self._say("Ray is starting.")

    def _start_market(self) -> SimulatedMarket:
        market = start_simulator(self._settings, self._options.live_activity, _fresh_log(self._logs / "market.log"))
        self._children["simulated market"] = market.process
        self._record()
        self._say(f"SIMULATED MARKET at {market.address}: no price of it is real.")
        return market

    def _bind_market(self, env: dict[str, str]) -> None:
        os.environ.clear()
        os.environ.update(env)
        market_id = AwsPriceSource(self._settings.gap_filler_aws_region).market_id
        bind_market(self._settings.data_dir, market_id)
        store = open_store(self._settings)
        try:
            bind_store_market(store, market_id)
        finally:
            store.close()
        self._say(f"Market: {market_id}")

    def _deploy(self, head: RayHead, env: dict[str, str], stop: threading.Event) -> None:
        deadline = time.monotonic() + DEPLOY_PATIENCE_S
        log = _fresh_log(self._logs / "deploy.log")
        with log.open("ab") as errors:
            self._driver = subprocess.Popen(
                [head.python, "-m", "services.launch.driver", head.address, str(self._children["Ray"].pid)],
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._children["driver"] = self._driver
        deployed = threading.Event()
        threading.Thread(target=_await_word, args=(self._driver, deployed), daemon=True).start()
        while not deployed.wait(0.1):
            if stop.is_set():
                return
            if self._driver.poll() is not None or time.monotonic() > deadline:
                raise Unavailable("Ray Serve", f"the applications did not start; {log} says why")
        self._record()
        self._say("Ray Serve has deployed the API and the page.")
        self._await_ready(stop, deadline)

    def _await_ready(self, stop: threading.Event, deadline: float) -> None:
        url = f"{self._settings.local_url}/readyz"
        with httpx.Client(timeout=5.0, trust_env=False) as client:
            while not stop.is_set():
                try:
                    answer = client.get(url)
                    if answer.status_code == 200:
                        self._say(_ready(answer.json()))
                        return
                except httpx.HTTPError:
                    pass
                if time.monotonic() > deadline:
                    raise Unavailable("the server", f"it did not become ready; look into {self._logs}")
                stop.wait(0.2)

    def _announce(self, head: RayHead, simulated: bool, token: str | None, code: str) -> None:
        url = self._settings.local_url
        self._say(f"API        {url}/api/v1/ml   (documentation: {url}/docs)")
        self._say(f"Page       {url}/ui#code={code}   (this link signs in once, within 10 minutes)")
        self._say(f"Dashboard  {head.dashboard_url}   (Ray's own; it asks for the token in {self._token_file(head)})")
        self._say(f"Logs       {self._logs}")
        if token:
            self._say(f"Admin token, shown this once: {token}")
        if simulated:
            self._say("SIMULATED MARKET: prices, interruptions and savings are made up.")

    def _token_file(self, head: RayHead) -> Path:
        """Ray's token in a file that only we can read: a terminal is not the place for it."""
        path = self._settings.data_dir / "ray_token"
        path.touch(mode=0o600)
        path.write_text(head.env["RAY_AUTH_TOKEN"])
        return path

    def _watch(self, stop: threading.Event) -> None:
        self._record()
        self._say("Serving. Ctrl-C stops everything.")
        while not stop.wait(0.5):
            for name, child in self._children.items():
                if child.poll() is not None:
                    raise Unavailable(
                        name, f"it ended by itself (exit code {child.returncode}); look into {self._logs}"
                    )

    def _record(self) -> None:
        assert self._head is not None
        self._run_file.write(descendants(), self._head.temp_dir)


def _credentials(settings: Settings) -> tuple[str | None, str]:
    """(the admin token if this start made one, a sign-in code for the page)."""
    store = open_store(settings)
    try:
        admin_token = settings.admin_token.get_secret_value() if settings.admin_token else None
        keys = Keys(store, admin_token)
        made = None if admin_token else keys.create_first()
        keys.refresh()
        return made, Sessions(store, keys).create_code(_an_admin(keys, admin_token))
    finally:
        store.close()


def _an_admin(keys: Keys, admin_token: str | None) -> Principal:
    if admin_token:
        return keys.verify(admin_token)
    now = datetime.now(UTC)
    key = next(key for key in keys.list() if key.role == "admin" and key.usable(now))
    return Principal(key.key_id, key.name, key.role)


def _clear_leftovers(run_file: RunFile, say: Progress) -> None:
    recorded, temp_dir = run_file.read()
    left = still_running(recorded)
    if left:
        say(f"The last start was not stopped cleanly; ending {len(left)} processes that it left behind.")
        if stubborn := end(left, grace_s=5.0):
            raise Unavailable("an earlier start", f"process {stubborn[0].pid} ({stubborn[0].name}) cannot be ended")
    if temp_dir:
        shutil.rmtree(temp_dir, ignore_errors=True)
    run_file.remove()


def _await_word(driver: subprocess.Popen[bytes], deployed: threading.Event) -> None:
    assert driver.stdout is not None
    for line in driver.stdout:
        if line.strip() == b"deployed":
            deployed.set()


def _fresh_log(path: Path) -> Path:
    """The log of this start; that of the last one is kept beside it."""
    if path.exists():
        path.replace(path.with_suffix(".log.1"))
    return path


def _ready(told: dict[str, Any]) -> str:
    """One line; where uploaded code is confined less than it could be, with what that leaves open."""
    line = f"Ready. Confinement of uploaded code: tier {told['confinement']}."
    if lacks := told["confinement_lacks"]:
        line += f" WEAK: {'; '.join(lacks)}. Uploads are {told['uploads']}."
    return line
