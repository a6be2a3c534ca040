"""Swaps one after the other over all processes: whoever's turn it is holds a lease in the store."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar

import structlog
from ulid import ULID

from services.errors import LeaseLost, StoreUnavailable, Unavailable
from services.store.protocol import Lease, Store

LEASE_TTL_S = 15.0
TURN_PATIENCE_S = 60.0
LOOK_S = 0.02
Result = Literal["done", "refused"]
R = TypeVar("R")
_log = structlog.get_logger(__name__)


class Turns:
    """Turns at swapping one thing; all raise the store's errors, and `Unavailable` after a minute of another's turn."""

    def __init__(self, store: Store, lease: str, told: Callable[[Result], None] = lambda _result: None) -> None:
        """`lease` names the thing, as `model_swap`; `told` hears how each piece of work ended."""
        self._store = store
        self._name = lease
        self._told = told
        # In turn within this process first, so that its own callers do not race for the lease.
        self._here = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    async def do(self, work: Callable[[Lease], Awaitable[R]]) -> R:
        """Do a piece of work in its turn; one that has begun goes on when its caller goes away."""

        async def in_turn() -> R:
            try:
                async with self.taken() as lease:
                    done = await work(lease)
            except Exception:
                self._told("refused")
                raise
            self._told("done")
            return done

        running = asyncio.create_task(in_turn())
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return await asyncio.shield(running)

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Lease]:
        """Nobody else has a turn before the block has ended."""
        async with self._here:
            lease = await self._acquired()
            keeping = asyncio.create_task(self._keep(lease))
            try:
                yield lease
            finally:
                keeping.cancel()
                await asyncio.to_thread(self._store.release, lease)

    async def _acquired(self) -> Lease:
        holder = f"{os.getpid()}@{os.uname().nodename}/{ULID()}"
        deadline = time.monotonic() + TURN_PATIENCE_S
        while time.monotonic() < deadline:
            if lease := await asyncio.to_thread(self._store.acquire, self._name, holder, LEASE_TTL_S):
                return lease
            await asyncio.sleep(LOOK_S)
        raise Unavailable(self._name.replace("_", " "), "another swap has been under way for a minute")

    async def _keep(self, lease: Lease) -> None:
        """The work may take longer than the lease lasts; one that is lost ends in a refused write."""
        while True:
            await asyncio.sleep(LEASE_TTL_S / 3)
            try:
                await asyncio.to_thread(self._store.renew, lease, LEASE_TTL_S)
            except (LeaseLost, StoreUnavailable) as error:
                _log.warning("lease_not_renewed", lease=self._name, error=str(error))
