"""Composes a market from its options and serves it: `build_app`, `serve`, and `run`, which the command wraps."""

import ctypes
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from gapfill.errors import PriceFileInvalid
from gapfill.market.aws import AwsFace
from gapfill.market.control import Control
from gapfill.market.errors import OptionsInvalid
from gapfill.market.faults import Faults
from gapfill.market.forced import ForcedPrices
from gapfill.market.process import Pace
from gapfill.market.replay import ReplayMarket, file_digest, shift_weeks
from gapfill.market.simulate import SimulatedMarket
from gapfill.market.source import MarketSource
from gapfill.market.state import MarketState, open_state
from gapfill.price_files import read_raw_prices

_log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class MarketOptions:
    """How to start a market; `replay` (a file) replays it, otherwise `seed` simulates one."""

    seed: int = 7
    replay: Path | None = None
    end: datetime | None = None
    on_demand: Path | None = None
    regions: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    live_activity: float = 1.0
    state: Path | None = None
    port: int = 0
    with_parent: bool = False


def now_utc() -> datetime:
    """The clock that a market runs on unless it is given another."""
    return datetime.now(UTC)


def build_app(
    source: MarketSource, state: MarketState | None = None, clock: Callable[[], datetime] = now_utc
) -> Starlette:
    """The ASGI application of a market; forced prices go to `state` (in memory when None)."""
    market = ForcedPrices(source, state or MarketState())
    faults = Faults()
    face = AwsFace(market, faults, clock)
    return Starlette(
        routes=[Route("/", face.answer, methods=["GET", "POST"]), *Control(market, face, faults, clock).routes()]
    )


def build_source(options: MarketOptions, clock: Callable[[], datetime] = now_utc) -> tuple[MarketSource, MarketState]:
    """The source that the options ask for, and its state; raises OptionsInvalid, StateMismatch, PriceFileInvalid."""
    now = int(clock().timestamp())
    return _simulated(options, now) if options.replay is None else _replayed(options, options.replay, now)


def _simulated(options: MarketOptions, now: int) -> tuple[MarketSource, MarketState]:
    if options.live_activity < 1:
        raise OptionsInvalid("live-activity", "must be at least 1")
    state = open_state(options.state, f"sim:{options.seed}")
    if options.live_activity != (state.paces[-1][1] if state.paces else 1.0):
        # From the next second on: what this second brings may have been told already.
        state.paces.append((now + 1, options.live_activity))
        state.save()
    pace = Pace(tuple(state.paces))
    return SimulatedMarket(options.seed, options.regions, options.instance_types, pace, options.zones), state


def _replayed(options: MarketOptions, path: Path, now: int) -> tuple[MarketSource, MarketState]:
    state = open_state(options.state, f"replay:{file_digest(path)}")
    if state.shift_weeks is None:
        last = read_raw_prices(path)["at"].max()
        if not isinstance(last, datetime):
            raise PriceFileInvalid(path.name, "has no records")
        end = None if options.end is None else int(options.end.timestamp())
        state.shift_weeks = shift_weeks(now, int(last.timestamp()), end)
        state.save()
    return ReplayMarket(path, state.shift_weeks, options.on_demand), state


def listen(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; port 0 takes a free one. Raises OptionsInvalid when the port is taken."""
    # Named protocol: asyncio sets TCP_NODELAY only on sockets that say TCP, else answers wait 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise OptionsInvalid("port", f"{port} cannot be used: {error.strerror}") from error
    listener.listen(128)
    return listener


def address_of(listener: socket.socket) -> str:
    """`http://127.0.0.1:<port>`."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


class MarketServer(uvicorn.Server):
    """A uvicorn server that ends with exit code 0 when it is told to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as orders, and do not raise them again once they have been followed."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def server_of(app: Starlette) -> MarketServer:
    """A quiet server for the application."""
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=2
    )
    return MarketServer(config)


def serve(app: Starlette, port: int = 0, announce: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; `announce` gets the address once connections are accepted."""
    listener = listen(port)
    if announce is not None:
        announce(address_of(listener))
    server_of(app).run(sockets=[listener])


def run(options: MarketOptions) -> None:
    """Start a market and serve it until it is told to stop.

    Prints one JSON line `{"address": …, "market_id": …}` once it answers, and writes `<state>/address`.
    """
    if options.with_parent:
        _die_with_parent()
    source, state = build_source(options)

    def announce(address: str) -> None:
        if options.state is not None:
            options.state.mkdir(parents=True, exist_ok=True)
            (options.state / "address").write_text(address)
        sys.stdout.write(json.dumps({"address": address, "market_id": source.market_id}) + "\n")
        sys.stdout.flush()

    serve(build_app(source, state), options.port, announce)


def _die_with_parent() -> None:
    """Let the kernel end this process when the one that started it ends (Linux)."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent or parent == 1:
        os.kill(os.getpid(), signal.SIGTERM)
