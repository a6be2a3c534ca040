"""Engine selections: every replica prepares and tries it, one pointer turns, every replica follows; one at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from engines.catalogue import Catalogue
from engines.errors import EngineInUse, EnginesError
from services.errors import Unavailable
from services.live.named_models import check_models
from services.live.selection import EngineSelection, Selected
from services.models.activation import Activations
from services.models.shelf import Shelf
from services.store.protocol import Lease, Store
from services.store.turns import Result, Turns

LEASE = "engine_swap"
_log = structlog.get_logger(__name__)


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


class EngineSwaps:
    """Selects and rolls back, one after the other: the lease in the store holds over all processes.

    A swap that has begun goes on when its caller goes away. Besides what each method names, all raise the store's
    errors, and `Unavailable` when another swap keeps its turn for a minute.
    """

    def __init__(
        self,
        store: Store,
        selection: EngineSelection,
        catalogue: Catalogue,
        shelf: Shelf,
        activations: Activations,
        replicas: EngineReplicas,
        told: Callable[[Result], None] = lambda _result: None,
    ) -> None:
        """`told` hears how each swap ended."""
        self._selection = selection
        self._catalogue = catalogue
        self._shelf = shelf
        self._activations = activations
        self._replicas = replicas
        self._turns = Turns(store, LEASE, told)

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
            before = await asyncio.to_thread(self._selection.before)
            return before.engine_id, before.config

        return await self._in_turn(choose, by)

    async def delete(self, engine_id: str) -> None:
        """Remove an uploaded engine; raises `EngineNotFound`, and `EngineInUse` while it is selected or built in."""
        async with self._turns.taken():
            current = await asyncio.to_thread(self._selection.current)
            if current is not None and current.engine_id == engine_id:
                raise EngineInUse(engine_id, "it is selected")
            await asyncio.to_thread(self._catalogue.delete, engine_id)

    async def _in_turn(self, choose: Callable[[], Awaitable[tuple[str, dict[str, Any]]]], by: str) -> Selected:
        async def swap(lease: Lease) -> Selected:
            return await self._swap(*await choose(), by, lease)

        return await self._turns.do(swap)

    async def _swap(self, engine_id: str, config: dict[str, Any], by: str, lease: Lease) -> Selected:
        entry = await asyncio.to_thread(self._catalogue.get, engine_id)
        await asyncio.to_thread(check_models, engine_id, entry.models, self._shelf, self._activations)
        current = await asyncio.to_thread(self._selection.current)
        generation = (current.generation if current else 0) + 1
        before = (current.engine_id, current.config) if current else None
        ordered = EngineOrdered(engine_id, config, generation, before)
        try:
            valid = await self._replicas.prepare(ordered)
            selected = await asyncio.to_thread(
                lambda: self._selection.select(
                    engine_id, valid, by, datetime.now(UTC), models=entry.models, fence=lease
                )
            )
        except BaseException:
            await self._forget(generation)
            raise
        try:
            await self._replicas.activate(generation)
        except Exception as error:  # noqa: BLE001 - the pointer has turned: each replica looks at it every second
            _log.warning("replica_left_to_reconcile", engine_id=engine_id, error=str(error)[:400])
        _log.info("engine_swapped", engine_id=engine_id, generation=generation, by=by)
        return selected

    async def _forget(self, generation: int) -> None:
        try:
            await self._replicas.abort(generation)
        except (EnginesError, Unavailable) as error:
            _log.warning("engine_left_to_expire", generation=generation, error=str(error)[:400])
