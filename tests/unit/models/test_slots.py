"""Slots: requests keep what they started with, swaps go forward only, and each scorer is closed once."""

import threading
from datetime import UTC, datetime

import numpy as np
import pytest

from services.errors import ModelNotFound, ModelRefused, NoActiveModel
from services.models.activation import Pointer
from services.models.scorer import Matrix, Scorer, Vector
from services.models.slots import EXTRAS_KEPT, PREPARED_FOR_S, Slots
from services.models.version import ModelVersion
from tests.unit.models.test_registry import version

ROW = np.zeros((1, 1))


class Constant:
    """A scorer that always says its number, and knows whether it is open."""

    features = ("price_usd",)

    def __init__(self, number: float) -> None:
        self.number = number
        self.closed = 0

    def score(self, matrix: Matrix) -> Vector:
        assert not self.closed, "scored after it was closed"
        return np.full(len(matrix), self.number)

    def close(self) -> None:
        self.closed += 1


class Shop:
    """Loads `demo:v<n>` as a `Constant` of n and remembers each."""

    def __init__(self) -> None:
        self.loaded: list[Constant] = []
        self.now = 0.0

    def __call__(self, model_id: str) -> tuple[Scorer, ModelVersion]:
        number = model_id.removeprefix("demo:v")
        if not number.isdigit():
            raise ModelNotFound(model_id)
        self.loaded.append(Constant(float(number)))
        return self.loaded[-1], version(model_id, "0")

    def clock(self) -> float:
        return self.now

    def closed(self, place: int) -> int:
        """How often what was loaded at a place was closed."""
        return self.loaded[place].closed


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def slots(shop: Shop) -> Slots:
    return Slots(shop, shop.clock)


def pointer(model_id: str, generation: int) -> Pointer:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Pointer(task="spot_price", model_id=model_id, generation=generation, activated_at=at, by="me")


def test_an_empty_slot_lends_nothing(slots: Slots) -> None:
    with pytest.raises(NoActiveModel):
        slots.lend("spot_price")
    assert slots.generation("spot_price") == 0


def test_a_loan_says_who_answers(slots: Slots) -> None:
    slots.activate(pointer("demo:v1", 1))
    with slots.lend("spot_price") as lent:
        assert lent.scorer.score(ROW) == [1.0]
        assert (lent.version.model_id, lent.generation) == ("demo:v1", 1)
    assert slots.versions()["spot_price"].model_id == "demo:v1"


def test_the_old_scorer_is_closed_when_its_last_loan_ends(slots: Slots, shop: Shop) -> None:
    slots.activate(pointer("demo:v1", 1))
    with slots.lend("spot_price") as first, slots.lend("spot_price"):
        slots.activate(pointer("demo:v2", 2))
        with slots.lend("spot_price") as second:
            assert second.scorer.score(ROW) == [2.0]
        assert first.scorer.score(ROW) == [1.0]
        assert (first.version.model_id, first.generation) == ("demo:v1", 1)
        assert shop.loaded[0].closed == 0
    assert shop.loaded[0].closed == 1
    assert shop.loaded[1].closed == 0


def test_a_prepared_version_is_not_loaded_again(slots: Slots, shop: Shop) -> None:
    assert slots.prepare("demo:v1").model_id == "demo:v1"
    slots.activate(pointer("demo:v1", 1))
    assert len(shop.loaded) == 1


def test_a_prepared_version_expires(slots: Slots, shop: Shop) -> None:
    slots.prepare("demo:v1")
    shop.now = PREPARED_FOR_S + 1
    slots.prepare("demo:v2")
    assert [scorer.closed for scorer in shop.loaded] == [1, 0]
    slots.discard("demo:v2")
    assert [scorer.closed for scorer in shop.loaded] == [1, 1]


def test_a_version_that_cannot_be_loaded_changes_nothing(slots: Slots) -> None:
    slots.activate(pointer("demo:v1", 1))
    with pytest.raises(ModelNotFound):
        slots.prepare("demo:none")
    with pytest.raises(ModelNotFound):
        slots.activate(pointer("demo:none", 2))
    with slots.lend("spot_price") as lent:
        assert lent.generation == 1


def test_generations_go_forward_only(slots: Slots) -> None:
    slots.activate(pointer("demo:v2", 2))
    slots.activate(pointer("demo:v1", 1))
    assert slots.reconcile({"spot_price": pointer("demo:v1", 1)}) == []
    assert slots.generation("spot_price") == 2
    assert slots.reconcile({"spot_price": pointer("demo:v3", 5)}) == ["spot_price"]
    assert slots.generation("spot_price") == 5


def test_any_version_can_be_lent_and_a_few_are_kept(slots: Slots, shop: Shop) -> None:
    slots.activate(pointer("demo:v1", 1))
    with slots.lend_version("demo:v1") as lent:
        assert lent.generation == 1
    for number in range(2, 4 + EXTRAS_KEPT):
        with slots.lend_version(f"demo:v{number}") as lent:
            assert lent.scorer.score(ROW) == [float(number)]
            assert lent.generation == 0
    assert [scorer.closed for scorer in shop.loaded] == [0, 1, 1] + [0] * EXTRAS_KEPT
    with slots.lend_version(f"demo:v{3 + EXTRAS_KEPT}"):
        assert len(shop.loaded) == 3 + EXTRAS_KEPT
    with pytest.raises(ModelNotFound):
        slots.lend_version("demo:none")


def test_closing_waits_for_loans(slots: Slots, shop: Shop) -> None:
    slots.activate(pointer("demo:v1", 1))
    slots.prepare("demo:v2")
    with slots.lend("spot_price") as lent:
        slots.close()
        assert lent.scorer.score(ROW) == [1.0]
    assert [scorer.closed for scorer in shop.loaded] == [1, 1]


def test_swaps_under_load_never_close_what_is_lent(slots: Slots, shop: Shop) -> None:
    slots.activate(pointer("demo:v1", 1))
    stop, failures, seen = threading.Event(), list[BaseException](), set[int]()

    def work() -> None:
        try:
            while not stop.is_set():
                with slots.lend("spot_price") as lent:
                    assert lent.scorer.score(ROW) == [float(lent.generation)]
                    assert lent.version.model_id == f"demo:v{lent.generation}"
                    seen.add(lent.generation)
        except BaseException as error:  # noqa: BLE001 - told below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for generation in range(2, 200):
        slots.prepare(f"demo:v{generation}")
        slots.activate(pointer(f"demo:v{generation}", generation))
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert seen
    slots.close()
    assert {scorer.closed for scorer in shop.loaded} == {1}


def test_a_hold_keeps_a_version_warm_whatever_is_activated(slots: Slots, shop: Shop) -> None:
    slots.activate(pointer("demo:v1", 1))
    hold = slots.hold("demo:v2")
    for number in range(3, 4 + EXTRAS_KEPT):
        with slots.lend_version(f"demo:v{number}"):
            pass
    slots.activate(pointer("demo:v3", 2))
    with hold.lend() as lent:
        assert (float(lent.scorer.score(ROW)[0]), lent.version.model_id, lent.generation) == (2.0, "demo:v2", 0)
        hold.release()
        hold.release()
        assert shop.closed(1) == 0, "a loan was out"
    assert shop.closed(1) == 1
    with pytest.raises(ValueError, match="not held"):
        hold.lend()


def test_holders_of_one_version_share_its_scorer(slots: Slots, shop: Shop) -> None:
    slots.activate(pointer("demo:v1", 1))
    with slots.hold("demo:v1") as first, slots.hold("demo:v1") as second:
        assert len(shop.loaded) == 1
        slots.activate(pointer("demo:v2", 2))
        with first.lend() as one, second.lend() as other:
            assert one.scorer is other.scorer
    assert shop.loaded[0].closed == 1
    with slots.hold("demo:v1"):
        assert len(shop.loaded) == 3, "a closed one is not held again"


def test_a_hold_of_what_is_not_there_says_so(slots: Slots) -> None:
    with pytest.raises(ModelNotFound):
        slots.hold("demo:none")


def test_what_was_prepared_for_another_generation_is_not_activated(slots: Slots, shop: Shop) -> None:
    slots.prepare("demo:v1", generation=1)
    slots.activate(pointer("demo:v1", 2))
    assert len(shop.loaded) == 2
    slots.prepare("demo:v2", generation=3)
    slots.activate(pointer("demo:v2", 3))
    assert len(shop.loaded) == 3


def test_a_preparation_that_nobody_activates_is_closed_in_time(slots: Slots, shop: Shop) -> None:
    slots.prepare("demo:v1", generation=1)
    shop.now += PREPARED_FOR_S + 1
    slots.reconcile({})
    assert shop.loaded[0].closed == 1


class Wild(Constant):
    """A model whose probabilities are none."""

    features = ("price_usd",)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1.5, -0.1])
def test_a_warm_up_that_fails_changes_nothing_and_says_why(number: float) -> None:
    wild, sound = Wild(number), Constant(0.5)
    of_task = {"demo:wild": wild, "demo:sound": sound}

    def load(model_id: str) -> tuple[Scorer, ModelVersion]:
        return of_task[model_id], version(model_id, "0").model_copy(update={"task": "spot_interruption"})

    slots = Slots(load)
    turn = pointer("demo:sound", 1).model_copy(update={"task": "spot_interruption"})
    slots.activate(turn)
    with pytest.raises(ModelRefused) as refused:
        slots.prepare("demo:wild", generation=2)
    assert refused.value.code == "warm-up-failed"
    assert "demo:wild" in refused.value.detail
    assert wild.closed == 1
    with slots.lend("spot_interruption") as lent:
        assert lent.scorer is sound


def test_each_swap_gives_its_version_one_new_try(shop: Shop) -> None:
    lifted: list[str] = []
    slots = Slots(shop, shop.clock, lifted.append)
    slots.prepare("demo:v1", generation=1)
    slots.activate(pointer("demo:v1", 1))
    slots.activate(pointer("demo:v2", 2))
    assert lifted == ["demo:v1", "demo:v2"]
    for _ in range(3):
        with pytest.raises(ModelNotFound):
            slots.reconcile({"spot_price": pointer("demo:none", 3)})
    assert lifted == ["demo:v1", "demo:v2", "demo:none"]


def test_one_task_that_cannot_follow_does_not_keep_the_other_back(shop: Shop) -> None:
    slots = Slots(shop, shop.clock)
    other = pointer("demo:v2", 1).model_copy(update={"task": "spot_interruption"})
    with pytest.raises(ModelNotFound):
        slots.reconcile({"spot_price": pointer("demo:none", 1), "spot_interruption": other})
    assert (slots.generation("spot_price"), slots.generation("spot_interruption")) == (0, 1)
