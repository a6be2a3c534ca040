"""On the event loop: a slow confined model keeps nobody waiting, and nobody who leaves keeps it open."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from engines.sandbox import Program
from services.errors import ModelNotFound
from services.models.awaiting import lend_soon, score_soon
from services.models.confined_scorer import ConfinedModel, ConfinedScorer
from services.models.predictor import predict, predict_soon
from services.models.quarantine import Quarantine
from services.models.scorer import Scorer
from services.models.slots import Slots
from services.models.version import ModelVersion
from tests.unit.models.test_registry import version
from tests.unit.models.test_slots import Constant, Shop, pointer

ONE = np.ones((1, 1))


@pytest.fixture
def slow(tmp_path: Path) -> ConfinedScorer:
    path = tmp_path / "artifact.bin"
    path.touch()
    model = ConfinedModel("demo:slow", path, ("price_usd",), Program("tests.unit.models.scoring_programs:slow"))
    return ConfinedScorer(model, Quarantine())


def test_a_slow_confined_model_holds_up_no_other_answer(slow: ConfinedScorer) -> None:
    order: list[str] = []

    async def ask(name: str, scorer: Scorer) -> None:
        await score_soon(scorer, ONE)
        order.append(name)

    async def ask_all() -> None:
        first = asyncio.create_task(ask("slow", slow))
        await asyncio.sleep(0)
        await asyncio.gather(*(ask(f"quick {number}", Constant(1.0)) for number in range(20)))
        await first

    asyncio.run(ask_all())
    assert order == [*(f"quick {number}" for number in range(20)), "slow"]
    slow.close()


def test_both_ways_to_predict_say_the_same() -> None:
    known = version("demo:v1", "0")
    rows = np.array([[1.0], [np.nan], [2.0]])
    given = (("price_usd",), rows, np.zeros((3, 1), bool), np.zeros(3))
    one = predict(Constant(0.5), known, *given)
    other = asyncio.run(predict_soon(Constant(0.5), known, *given))
    np.testing.assert_array_equal(one.values, [0.5, np.nan, 0.5])
    np.testing.assert_array_equal(other.values, one.values)
    np.testing.assert_array_equal(other.matrix, one.matrix)


def test_a_version_is_loaded_off_the_loop_and_lent_on_it() -> None:
    shop = Shop()
    slots = Slots(shop, shop.clock)
    slots.activate(pointer("demo:v1", 1))

    async def lend(model_id: str) -> tuple[str, int]:
        with await lend_soon(slots, model_id) as lent:
            return lent.version.model_id, lent.generation

    assert [asyncio.run(lend(name)) for name in ("demo:v1", "demo:v2", "demo:v2")] == [
        ("demo:v1", 1),
        ("demo:v2", 0),
        ("demo:v2", 0),
    ]
    assert len(shop.loaded) == 2
    with pytest.raises(ModelNotFound):
        asyncio.run(lend("demo:none"))


def test_who_goes_away_while_it_loads_leaves_no_loan_behind() -> None:
    loading, go_on = asyncio.Event(), asyncio.Event()
    scorer = Constant(0.5)

    async def leave() -> None:
        loop = asyncio.get_running_loop()

        def load(model_id: str) -> tuple[Scorer, ModelVersion]:
            loop.call_soon_threadsafe(loading.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)
            return scorer, version(model_id, "0")

        slots = Slots(load)
        asking = asyncio.create_task(lend_soon(slots, "demo:v1"))
        await loading.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        go_on.set()
        await asyncio.get_running_loop().shutdown_default_executor()
        slots.close()

    asyncio.run(leave())
    assert scorer.closed == 1
