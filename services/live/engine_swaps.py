"""Engine selections: every replica prepares and tries it, one pointer turns, every replica follows; one at a time."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import structlog
from ulid import ULID

from engines.catalogue import Catalogue
from engines.errors import EngineInUse, EnginesError
from services.errors import LeaseLost, StoreUnavailable, Unavailable
from services.live.named_models import check_models
from services.live.selection import EngineSelection, Selected
from services.models.activation import Activations
from services.models.shelf import Shelf
from services.store.protocol import Lease, Store

LEASE = "engine_swap"
LEASE_TTL_S = 15.0
TURN_PATIENCE_S = 60.0
LOOK_S = 0.02
_log = structlog.get_logger(__name__)

Result = Literal["done", "refused"]


@dataclass(frozen=True, slots=True)
class EngineOrdered:
    """A selection that replicas are to prepare; `before` is what stands in for it where it fails."""

    engine_id: str
    config: dict[str, Any]
    generation: int
    before: tuple[str, dict[str, Any]] | None


class EngineReplicas(Protocol):
    """Every process that decides on request."""

    async def prepare(self, ordered: EngineOrdered) -> dict[str, Any]:
        """Start, confine and try the engine on all of them; its validated config.

        Raises what the first that could not raised: `EngineConfigInvalid`, `EngineFailed`, `EngineNotFound`.
        """
        ...

    async def abort(self, generation: int) -> None:
        """Forget what was prepared, wherever that reaches."""
        ...

    async def activate(self, generation: int) -> None:
        """Let it decide; raises when not all did, and those bring themselves to it."""
        ...


@dataclass(frozen=True)
class EngineSwaps:
    """Selects and rolls back, one after the other: the lease in the store holds over all processes.

    Besides what each method names, all raise the store's errors, and `Unavailable` when another swap keeps its turn
    for a minute.
    """

    store: Store
    selection: EngineSelection
    catalogue: Catalogue
    shelf: Shelf
    activations: Activations
    replicas: EngineReplicas
    told: Callable[[Result], None] = lambda _result: None
    _running: set[asyncio.Task[Selected]] = field(default_factory=set)

    async def select(self, engine_id: str, config: dict[str, Any], by: str) -> Selected:
        """Let an engine decide.

        Raises `EngineNotFound`, `EngineModelsMissing`, `EngineConfigInvalid`, or `EngineFailed` when a replica could
        not start it or it did not decide a sample; then nothing has changed anywhere.
        """

        async def choose() -> tuple[str, dict[str, Any]]:
            return engine_id, config

        return await self._in_turn(choose, by)

    async def roll_back(self, by: str) -> Selected:
        """Go back to the selection before; raises `EngineNotSelected` and what `select` raises."""

        async def choose() -> tuple[str, dict[str, Any]]:
            before = await asyncio.to_thread(self.selection.before)
            return before.engine_id, before.config

        return await self._in_turn(choose, by)

    async def delete(self, engine_id: str) -> None:
        """Remove an uploaded engine; raises `EngineNotFound`, and `EngineInUse` while it is selected or built in."""
        async with self._lease():
            current = await asyncio.to_thread(self.selection.current)
            if current is not None and current.engine_id == engine_id:
                raise EngineInUse(engine_id, "it is selected")
            await asyncio.to_thread(self.catalogue.delete, engine_id)

    async def _in_turn(self, choose: Callable[[], Awaitable[tuple[str, dict[str, Any]]]], by: str) -> Selected:
        """A swap that has begun goes on when its caller goes away."""

        async def swap() -> Selected:
            try:
                async with self._lease() as lease:
                    selected = await self._swap(*await choose(), by, lease)
            except Exception:
                self.told("refused")
                raise
            self.told("done")
            return selected

        running = asyncio.create_task(swap())
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return await asyncio.shield(running)

    async def _swap(self, engine_id: str, config: dict[str, Any], by: str, lease: Lease) -> Selected:
        entry = await asyncio.to_thread(self.catalogue.get, engine_id)
        await asyncio.to_thread(check_models, engine_id, entry.models, self.shelf, self.activations)
        current = await asyncio.to_thread(self.selection.current)
        generation = (current.generation if current else 0) + 1
        before = (current.engine_id, current.config) if current else None
        ordered = EngineOrdered(engine_id, config, generation, before)
        try:
            valid = await self.replicas.prepare(ordered)
            selected = await asyncio.to_thread(
                lambda: self.selection.select(engine_id, valid, by, datetime.now(UTC), models=entry.models, fence=lease)
            )
        except BaseException:
            await self._forget(generation)
            raise
        try:
            await self.replicas.activate(generation)
        except Exception as error:  # noqa: BLE001 - the pointer has turned: each replica looks at it every second
            _log.warning("replica_left_to_reconcile", engine_id=engine_id, error=str(error)[:400])
        _log.info("engine_swapped", engine_id=engine_id, generation=generation, by=by)
        return selected

    async def _forget(self, generation: int) -> None:
        try:
            await self.replicas.abort(generation)
        except (EnginesError, Unavailable) as error:
            _log.warning("engine_left_to_expire", generation=generation, error=str(error)[:400])

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Lease]:
        lease = await self._acquired()
        keeping = asyncio.create_task(self._keep(lease))
        try:
            yield lease
        finally:
            keeping.cancel()
            await asyncio.to_thread(self.store.release, lease)

    async def _acquired(self) -> Lease:
        holder = f"{os.getpid()}@{os.uname().nodename}/{ULID()}"
        deadline = time.monotonic() + TURN_PATIENCE_S
        while time.monotonic() < deadline:
            if lease := await asyncio.to_thread(self.store.acquire, LEASE, holder, LEASE_TTL_S):
                return lease
            await asyncio.sleep(LOOK_S)
        raise Unavailable("engine swap", "another swap has been under way for a minute")

    async def _keep(self, lease: Lease) -> None:
        """A child may take longer to start than the lease lasts; one that is lost ends in a refused write."""
        while True:
            await asyncio.sleep(LEASE_TTL_S / 3)
            try:
                await asyncio.to_thread(self.store.renew, lease, LEASE_TTL_S)
            except (LeaseLost, StoreUnavailable) as error:
                _log.warning("swap_lease_not_renewed", error=str(error))
