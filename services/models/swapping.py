"""Swaps: every replica prepares, one pointer turns, every replica follows; one swap at a time over all processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import structlog

from services.errors import ModelError, RevisionConflict, Unavailable
from services.models.activation import Activations, Pointer
from services.models.shelf import Shelf
from services.models.slots import Slots
from services.models.version import ModelVersion, Task
from services.store.protocol import Lease, Store
from services.store.turns import Result, Turns

LEASE = "model_swap"
_log = structlog.get_logger(__name__)


class Replicas(Protocol):
    """Every process that answers requests."""

    async def prepare(self, model_id: str, generation: int) -> None:
        """Load and warm the version on all of them; raises what the first that could not raised."""
        ...

    async def discard(self, model_id: str) -> None:
        """Forget what was prepared, wherever that reaches."""
        ...

    async def activate(self, pointer: Pointer) -> None:
        """Let the pointer's version answer; raises when not all did, and those bring themselves to it."""
        ...


class LocalReplicas:
    """The one replica of a server that is one process."""

    def __init__(self, slots: Slots) -> None:
        """Over its slots."""
        self._slots = slots

    async def prepare(self, model_id: str, generation: int) -> None:
        """See `Replicas`."""
        await asyncio.to_thread(self._slots.prepare, model_id, generation)

    async def discard(self, model_id: str) -> None:
        """See `Replicas`."""
        await asyncio.to_thread(self._slots.discard, model_id)

    async def activate(self, pointer: Pointer) -> None:
        """See `Replicas`."""
        await asyncio.to_thread(self._slots.activate, pointer)


class Swaps:
    """Activates and rolls back, one after the other: the lease in the store holds over all processes.

    A swap that has begun goes on when its caller goes away. Besides what each method names, all raise the store's
    errors, and `Unavailable` when another swap keeps its turn for a minute.
    """

    def __init__(
        self,
        store: Store,
        activations: Activations,
        shelf: Shelf,
        replicas: Replicas,
        told: Callable[[Result], None] = lambda _result: None,
    ) -> None:
        """`told` hears how each swap ended."""
        self._activations = activations
        self._shelf = shelf
        self._replicas = replicas
        self._turns = Turns(store, LEASE, told)

    async def activate(self, model_id: str, by: str) -> Pointer:
        """Let a version answer for its task.

        Raises `ModelNotFound`, or what kept a replica from preparing it (`ModelRefused`, `ModelUnavailable`,
        `Unavailable`); then nothing has changed anywhere.
        """

        async def choose() -> ModelVersion:
            return await asyncio.to_thread(self._shelf.get, model_id)

        return await self._in_turn(choose, by)

    async def roll_back(self, task: Task, by: str, generation: int | None = None) -> Pointer:
        """Go back to the version that was active before; with a `generation` only while that one is active.

        Raises `NoActiveModel`, `RevisionConflict` where another generation is active, and what `activate` raises.
        """

        async def choose() -> ModelVersion:
            current = await asyncio.to_thread(self._activations.active, task)
            if generation is not None and current is not None and current.generation != generation:
                raise RevisionConflict("pointer", f"model/{task}", generation, current.generation)
            before = await asyncio.to_thread(self._activations.before, task)
            return await asyncio.to_thread(self._shelf.get, before)

        return await self._in_turn(choose, by)

    async def forget(self, model_id: str) -> None:
        """Free what replicas have loaded of a version that is not active; what cannot be reached expires."""
        try:
            await self._replicas.discard(model_id)
        except (ModelError, Unavailable) as error:
            _log.warning("model_left_to_expire", model_id=model_id, error=str(error)[:400])

    @asynccontextmanager
    async def standing_still(self) -> AsyncIterator[None]:
        """No swap begins before the block has ended: what is read of the pointers inside stays true."""
        async with self._turns.taken():
            yield

    async def _in_turn(self, choose: Callable[[], Awaitable[ModelVersion]], by: str) -> Pointer:
        async def swap(lease: Lease) -> Pointer:
            return await self._swap(await choose(), by, lease)

        return await self._turns.do(swap)

    async def _swap(self, version: ModelVersion, by: str, lease: Lease) -> Pointer:
        current = await asyncio.to_thread(self._activations.active, version.task)
        generation = (current.generation if current else 0) + 1
        try:
            await self._replicas.prepare(version.model_id, generation)
            pointer = await asyncio.to_thread(self._activations.activate, version, by, datetime.now(UTC), fence=lease)
        except BaseException:
            await self.forget(version.model_id)
            raise
        try:
            await self._replicas.activate(pointer)
        except Exception as error:  # noqa: BLE001 - the pointer has turned: each replica looks at it every second
            _log.warning("replica_left_to_reconcile", model_id=pointer.model_id, error=str(error)[:400])
        _log.info("model_swapped", model_id=pointer.model_id, task=pointer.task, generation=pointer.generation, by=by)
        return pointer
