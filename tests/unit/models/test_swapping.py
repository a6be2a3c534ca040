"""Swaps over several replicas: all or nothing up to the pointer, one at a time, and the late ones follow."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.errors import LeaseLost, ModelNotFound, ModelRefused, NoActiveModel, RevisionConflict, Unavailable
from services.models.activation import Activations, Pointer
from services.models.registry import Registry
from services.models.slots import Slots
from services.models.swapping import LEASE, LocalReplicas, Swaps
from services.models.version import Task
from services.store import turns
from services.store.protocol import Store
from services.store.sqlite import SqliteStore
from services.store.turns import Result
from tests.unit.models.test_registry import add
from tests.unit.models.test_slots import ROW, Shop

TASK: Task = "spot_price"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = SqliteStore(tmp_path / "store.sqlite")
    yield opened
    opened.close()


class Fleet:
    """Replicas of one process; `broken` ones refuse to prepare, `dead` ones do not answer at all."""

    def __init__(self, count: int) -> None:
        self.shops = [Shop() for _ in range(count)]
        self.slots = [Slots(shop, shop.clock) for shop in self.shops]
        self.broken: set[int] = set()
        self.dead: set[int] = set()
        self.after_prepare: list[int] = []  # replicas that die between prepare and activate
        self.steps: list[tuple[str, int]] = []
        self.preparing = asyncio.Event()

    async def prepare(self, model_id: str, generation: int) -> None:
        self.steps.append(("prepare", generation))
        self.preparing.set()
        for place, slots in enumerate(self.slots):
            if place in self.broken:
                raise ModelRefused("warm-up-failed", f"replica {place} cannot", "Mend it.")
            await asyncio.to_thread(slots.prepare, model_id, generation)
        self.dead |= set(self.after_prepare)

    async def discard(self, model_id: str) -> None:
        for slots in self.slots:
            slots.discard(model_id)

    async def activate(self, pointer: Pointer) -> None:
        self.steps.append(("activate", pointer.generation))
        for place, slots in enumerate(self.slots):
            if place not in self.dead:
                slots.activate(pointer)
        if self.dead:
            raise Unavailable("ingress", f"replicas {sorted(self.dead)} do not answer")

    def answers(self) -> list[float]:
        """What each replica says now."""
        return [answer(slots) for slots in self.slots]

    def open(self) -> list[int]:
        """How many scorers each replica holds open."""
        return [sum(not scorer.closed for scorer in shop.loaded) for shop in self.shops]


def answer(slots: Slots) -> float:
    with slots.lend("spot_price") as lent:
        return float(lent.scorer.score(ROW)[0])


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(3)


class Told(list[Result]):
    """How the swaps ended."""


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def swaps(store: Store, registry: Registry, fleet: Fleet, told: Told) -> Swaps:
    for number in (1, 2, 3):
        add(registry, f"demo:v{number}")
    return Swaps(store, Activations(store), registry, fleet, told.append)


def test_every_replica_answers_with_the_new_version(swaps: Swaps, fleet: Fleet, told: Told) -> None:
    first = asyncio.run(swaps.activate("demo:v1", "me"))
    second = asyncio.run(swaps.activate("demo:v2", "you"))
    assert (first.generation, second.generation, second.previous, second.by) == (1, 2, "demo:v1", "you")
    assert fleet.answers() == [2.0] * 3
    assert fleet.open() == [1] * 3
    assert told == ["done", "done"]


def test_a_replica_that_cannot_prepare_aborts_the_swap_and_says_why(
    swaps: Swaps, fleet: Fleet, store: Store, told: Told
) -> None:
    asyncio.run(swaps.activate("demo:v1", "me"))
    fleet.broken = {2}
    with pytest.raises(ModelRefused, match="replica 2 cannot"):
        asyncio.run(swaps.activate("demo:v2", "me"))
    pointer = Activations(store).active(TASK)
    assert pointer is not None
    assert (pointer.model_id, pointer.generation) == ("demo:v1", 1)
    assert fleet.answers() == [1.0] * 3
    assert fleet.open() == [1] * 3, "what the others had prepared is closed"
    assert told == ["done", "refused"]


def test_a_replica_that_dies_between_prepare_and_activate_comes_back_to_the_pointer(
    swaps: Swaps, fleet: Fleet, store: Store
) -> None:
    asyncio.run(swaps.activate("demo:v1", "me"))
    fleet.after_prepare = [1]
    pointer = asyncio.run(swaps.activate("demo:v2", "me"))
    assert pointer.generation == 2
    assert fleet.answers() == [2.0, 1.0, 2.0]
    fleet.slots[1] = Slots(fleet.shops[1])  # started again, with an empty memory
    assert fleet.slots[1].reconcile(Activations(store).all()) == [TASK]
    assert fleet.answers() == [2.0] * 3
    assert fleet.slots[1].generation(TASK) == 2


def test_two_swaps_at_once_are_both_answered_in_order(swaps: Swaps, fleet: Fleet) -> None:
    async def ask() -> list[Pointer]:
        return list(await asyncio.gather(swaps.activate("demo:v1", "me"), swaps.activate("demo:v2", "you")))

    pointers = asyncio.run(ask())
    assert [(p.model_id, p.generation, p.previous) for p in pointers] == [
        ("demo:v1", 1, None),
        ("demo:v2", 2, "demo:v1"),
    ]
    assert fleet.steps == [("prepare", 1), ("activate", 1), ("prepare", 2), ("activate", 2)]
    assert fleet.answers() == [2.0] * 3


def test_swaps_of_two_processes_take_turns(swaps: Swaps, fleet: Fleet, store: Store, registry: Registry) -> None:
    """Each process has its own `Swaps`; what keeps them apart is the lease in the store."""

    async def ask() -> list[Pointer]:
        other = Swaps(store, Activations(store), registry, fleet)
        asked = (one.activate(f"demo:v{1 + n % 3}", "me") for n, one in enumerate((swaps, other) * 3))
        return list(await asyncio.gather(*asked))

    pointers = asyncio.run(ask())
    assert sorted(pointer.generation for pointer in pointers) == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in fleet.steps] == ["prepare", "activate"] * 6, "no two were mixed"
    last = max(pointers, key=lambda pointer: pointer.generation)
    assert fleet.answers() == [float(last.model_id[-1])] * 3


def test_a_swap_whose_turn_never_comes_says_so(
    swaps: Swaps, store: Store, monkeypatch: pytest.MonkeyPatch, fleet: Fleet
) -> None:
    monkeypatch.setattr(turns, "TURN_PATIENCE_S", 0.05)
    assert store.acquire(LEASE, "somebody", 60.0)
    with pytest.raises(Unavailable, match="another swap"):
        asyncio.run(swaps.activate("demo:v1", "me"))
    assert fleet.steps == []


def test_a_swap_that_has_lost_its_turn_changes_nothing(
    swaps: Swaps, store: Store, fleet: Fleet, tmp_path: Path
) -> None:
    asyncio.run(swaps.activate("demo:v1", "me"))
    honest = fleet.prepare

    async def slow_prepare(model_id: str, generation: int) -> None:
        await honest(model_id, generation)
        with sqlite3.connect(tmp_path / "store.sqlite") as file:
            file.execute("UPDATE leases SET expires_at = 0 WHERE name = ?", (LEASE,))
        assert store.acquire(LEASE, "somebody", 60.0)

    fleet.prepare = slow_prepare  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        asyncio.run(swaps.activate("demo:v2", "me"))
    assert fleet.answers() == [1.0] * 3
    assert fleet.open() == [1] * 3


def test_rolling_back_goes_to_the_one_before_and_there_again(swaps: Swaps, fleet: Fleet) -> None:
    with pytest.raises(NoActiveModel):
        asyncio.run(swaps.roll_back(TASK, "me"))
    asyncio.run(swaps.activate("demo:v1", "me"))
    with pytest.raises(ModelNotFound):
        asyncio.run(swaps.roll_back(TASK, "me"))
    asyncio.run(swaps.activate("demo:v2", "me"))

    async def twice() -> list[Pointer]:
        return list(await asyncio.gather(swaps.roll_back(TASK, "me"), swaps.roll_back(TASK, "you")))

    assert [pointer.model_id for pointer in asyncio.run(twice())] == ["demo:v1", "demo:v2"]
    assert fleet.answers() == [2.0] * 3


def test_a_rollback_that_is_sent_twice_goes_back_once(swaps: Swaps, fleet: Fleet) -> None:
    asyncio.run(swaps.activate("demo:v1", "me"))
    seen = asyncio.run(swaps.activate("demo:v2", "me")).generation
    assert asyncio.run(swaps.roll_back(TASK, "me", seen)).model_id == "demo:v1"
    with pytest.raises(RevisionConflict) as conflict:
        asyncio.run(swaps.roll_back(TASK, "me", seen))
    assert (conflict.value.expected, conflict.value.found) == (2, 3)
    assert fleet.answers() == [1.0] * 3


def test_an_unknown_version_prepares_nothing(swaps: Swaps, fleet: Fleet) -> None:
    with pytest.raises(ModelNotFound):
        asyncio.run(swaps.activate("demo:v9", "me"))
    assert fleet.steps == []


def test_a_swap_goes_on_when_its_caller_goes_away(swaps: Swaps, fleet: Fleet) -> None:
    async def leave() -> None:
        asking = asyncio.create_task(swaps.activate("demo:v1", "me"))
        await fleet.preparing.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await swaps.activate("demo:v2", "me")).previous == "demo:v1"

    asyncio.run(leave())
    assert fleet.answers() == [2.0] * 3


def test_no_swap_begins_while_pointers_must_stand_still(swaps: Swaps, fleet: Fleet) -> None:
    async def ask() -> None:
        async with swaps.standing_still():
            asking = asyncio.create_task(swaps.activate("demo:v1", "me"))
            await asyncio.sleep(0)
            assert fleet.steps == []
        await asking

    asyncio.run(ask())
    assert fleet.answers() == [1.0] * 3


def test_one_process_is_a_fleet_of_one(store: Store, registry: Registry) -> None:
    shop = Shop()
    slots = Slots(shop, shop.clock)
    swaps = Swaps(store, Activations(store), registry, LocalReplicas(slots))
    add(registry, "demo:v1")
    add(registry, "demo:v2")
    asyncio.run(swaps.activate("demo:v1", "me"))
    asyncio.run(swaps.activate("demo:v2", "me"))
    assert (answer(slots), len(shop.loaded)) == (2.0, 2)


def test_requests_in_flight_keep_their_version_through_a_swap(swaps: Swaps, fleet: Fleet) -> None:
    asyncio.run(swaps.activate("demo:v1", "me"))
    with fleet.slots[0].lend(TASK) as lent:
        asyncio.run(swaps.activate("demo:v2", "me"))
        np.testing.assert_array_equal(lent.scorer.score(ROW), [1.0])
        assert fleet.open() == [2, 1, 1]
    assert fleet.open() == [1, 1, 1]
