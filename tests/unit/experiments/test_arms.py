"""Arms in a process: who answers for whom, a challenger that fails, the shadow, and ticks."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gapfill.features.registry import NAMES
from gapfill.history import History
from services.errors import NoActiveModel
from services.live.board import FeatureBoard
from services.live.experiments.answering import Part
from services.live.experiments.arms import Arms
from services.live.experiments.counts import counted
from services.live.experiments.shadow import Shadow, Shown
from services.live.experiments.ticking import TickArms
from services.live.facts import score_block
from services.live.inference import Inference
from services.live.ledger.intake import SpoolIntake
from services.live.ledger.spool import Spool
from services.live.predicted import Ask
from services.live.written import LivePredictions
from services.store.protocol import Store
from services.store.sqlite import SqliteStore
from tests.unit.experiments.experiment_steps import CHALLENGER, CONTROL, Stable, experiment
from tests.unit.live.live_blocks import NOW, POOLS, block

ASK = Ask("m5.large", "us-east-1")
PATIENCE_S = 20.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = SqliteStore(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def stable(store: Store) -> Stable:
    return Stable(store)


@pytest.fixture
def arms(store: Store, stable: Stable) -> Iterator[Arms]:
    made = Arms(store, stable.slots)
    yield made
    made.close()


def inference(stable: Stable, arms: Arms, shadow: Shadow | None = None, spool: Spool | None = None) -> Inference:
    board = FeatureBoard()
    board.show(block())
    return Inference(board, stable.slots, 60.0, arms, shadow, spool)


def answer(asked: Inference, ask: Ask = ASK) -> dict[str, Any]:
    return asyncio.run(asked.answer(ask, NOW))


def begin(arms: Arms, weights: tuple[int, int] = (0, 10_000), **more: Any) -> None:
    arms.book.begin(experiment(weights, **more))
    arms.follow()


# Requests


def test_an_arms_pools_are_answered_by_its_model(stable: Stable, arms: Arms) -> None:
    asked = inference(stable, arms)
    before = answer(asked)
    assert (before["model_id"], before["experiment"]) == (CONTROL, None)
    begin(arms, (5000, 5000))
    trial = arms.trial("spot_interruption", CONTROL)
    assert trial is not None
    told = [pool for kind in ("m5.large", "c5.large") for pool in pools(asked, kind)]
    for pool in told:
        arm = trial.experiment.arms[trial.place_of(pool["pool_id"])]
        assert pool["experiment"] == {"experiment_id": "01EXPERIMENT", "arm": arm.arm, "fell_back": False}
        assert pool["model_id"] == arm.model_id
        assert pool["interruption_probability"] == (0.1 if arm.arm == "control" else 0.2)
    arms.follow()
    counts = counted(arms_store(arms), "01EXPERIMENT")
    assert sum(one.served for one in counts.values()) == len(told)


def pools(asked: Inference, kind: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = answer(asked, Ask(kind, "us-east-1"))["pools"]
    return told


def arms_store(arms: Arms) -> Store:
    return arms.book._store


def test_the_control_stands_in_for_a_challenger_that_fails(stable: Stable, arms: Arms) -> None:
    begin(arms)
    stable.scorers[CHALLENGER].broken = True
    told = answer(inference(stable, arms))
    assert (told["model_id"], told["interruption_probability"]) == (CONTROL, 0.1)
    assert told["experiment"] == {"experiment_id": "01EXPERIMENT", "arm": "challenger", "fell_back": True}
    arms.follow()
    counts = counted(arms_store(arms), "01EXPERIMENT")
    assert (counts["challenger"].errors, counts["challenger"].served, counts["challenger"].fell_back) == (1, 0, 2)
    assert "a tree fell over" in counts["challenger"].last_error
    assert "control" not in counts, "what it answers for another arm is not its own"


def test_a_request_that_names_a_model_stands_outside(stable: Stable, arms: Arms) -> None:
    begin(arms)
    told = answer(inference(stable, arms), Ask("m5.large", "us-east-1", model_id=CONTROL))
    assert (told["model_id"], told["experiment"]) == (CONTROL, None)


def test_another_active_model_leaves_the_experiment_at_once(stable: Stable, arms: Arms) -> None:
    begin(arms, (5000, 5000))
    stable.slots.activate(stable.activations.activate(stable.version(CHALLENGER), "test", NOW))
    told = answer(inference(stable, arms))
    assert (told["model_id"], told["experiment"]) == (CHALLENGER, None)


def test_a_challenger_that_cannot_be_loaded_serves_nobody(stable: Stable, arms: Arms) -> None:
    def lost(_model_id: str) -> Any:
        raise NoActiveModel("it is not to be had")

    stable.slots._load = lost
    begin(arms)
    told = answer(inference(stable, arms))
    assert told["model_id"] == CONTROL
    assert told["experiment"]["fell_back"] is True
    arms.follow()
    assert counted(arms_store(arms), "01EXPERIMENT")["challenger"].errors == 1


# The shadow


def test_the_shadow_scores_what_was_served_and_tells_the_ledger_alone(
    stable: Stable, arms: Arms, tmp_path: Path
) -> None:
    shadow, spool = Shadow(arms.tally), Spool(tmp_path / "spool")
    begin(arms, kind="shadow")
    told = answer(inference(stable, arms, shadow, spool), Ask("m5.large", "us-east-1", spot_price=0.07))
    assert (told["model_id"], told["interruption_probability"]) == (CONTROL, 0.1)
    assert shadow.settle(PATIENCE_S)
    shadow.close()
    spool.close()
    history = History(tmp_path / "history", "sim:1")
    assert SpoolIntake(spool.folder, history.ledger).take().rows == 4
    kept = history.ledger.served().sort("arm", "pool_id").collect()
    pool_ids = sorted(pool["pool_id"] for pool in told["pools"])
    assert kept.select("arm", "model_id", "value", "pool_id").rows() == [
        (arm, model_id, value, pool_id)
        for arm, model_id, value in (("challenger", CHALLENGER, 0.2), ("control", CONTROL, 0.1))
        for pool_id in pool_ids
    ]
    assert set(kept["target_at"]) == {told["target_at"]}
    assert set(kept["what_if"]) == {True}, "the request's own price"


def test_what_the_shadow_cannot_take_is_dropped_and_counted(stable: Stable, arms: Arms) -> None:
    going, let_go = threading.Event(), threading.Event()

    def hold_up(_part: Part) -> None:
        going.set()
        assert let_go.wait(PATIENCE_S)

    shadow = Shadow(arms.tally, most_waiting=2)
    begin(arms, kind="shadow")
    trial = arms.trial("spot_interruption", CONTROL)
    assert trial is not None
    rows = (NAMES, np.zeros((3, len(NAMES))), np.zeros((3, len(NAMES)), dtype=bool), np.zeros(3))
    shown = Shown(trial, POOLS[:3], rows, hold_up)
    assert shadow.show(shown)
    assert going.wait(PATIENCE_S)
    assert [shadow.show(shown) for _ in range(3)] == [True, True, False]
    let_go.set()
    assert shadow.settle(PATIENCE_S)
    shadow.close()
    arms.follow()
    counts = counted(arms_store(arms), "01EXPERIMENT")["challenger"]
    assert (counts.shadow, counts.dropped, counts.calls) == (9, 3, 3)


def test_a_shadow_that_breaks_is_counted_and_goes_on(stable: Stable, arms: Arms) -> None:
    shadow = Shadow(arms.tally)
    begin(arms, kind="shadow")
    trial = arms.trial("spot_interruption", CONTROL)
    assert trial is not None
    rows = (NAMES, np.zeros((1, len(NAMES))), np.zeros((1, len(NAMES)), dtype=bool), np.zeros(1))
    for broken in (True, False):
        stable.scorers[CHALLENGER].broken = broken
        shadow.show(Shown(trial, POOLS[:1], rows))
        assert shadow.settle(PATIENCE_S)
    shadow.close()
    arms.follow()
    counts = counted(arms_store(arms), "01EXPERIMENT")["challenger"]
    assert (counts.calls, counts.errors, counts.shadow) == (2, 1, 1)


# Ticks


def test_a_tick_is_divided_and_kept_by_arm(stable: Stable, arms: Arms, tmp_path: Path) -> None:
    history = History(tmp_path / "history", "sim:1")
    live = LivePredictions(history)
    begin(arms, (5000, 5000))
    told = score_block(block(), stable.slots, arms=arms)["spot_interruption"]
    assert told.arms is not None
    assert set(told.arms.names) == {"control", "challenger"}
    assert told.values.tolist() == [0.1 if name == "control" else 0.2 for name in told.arms.names]
    assert told.scored.values.tolist() == [0.1] * len(POOLS), "the active model's own"
    live.add(block(), told, made_at=NOW)
    live.write()
    kept = history.ledger.served().collect()
    assert kept.height == len(POOLS)
    by_arm = {(row["arm"], row["model_id"], row["value"]) for row in kept.iter_rows(named=True)}
    assert by_arm == {("control", CONTROL, 0.1), ("challenger", CHALLENGER, 0.2)}
    assert kept["experiment"].unique().to_list() == ["01EXPERIMENT"]
    some = np.array([2, 5])
    part = score_block(block(), stable.slots, some, arms)["spot_interruption"]
    assert part.values.tolist() == told.values[some].tolist()
    assert part.imputed_names(1) == []


def test_a_tick_in_the_shadow_is_kept_with_the_next_one(stable: Stable, arms: Arms, tmp_path: Path) -> None:
    history = History(tmp_path / "history", "sim:1")
    live = LivePredictions(history)
    ticking = TickArms(arms)
    arms.book.begin(experiment(kind="shadow"))
    for seconds in (0, 5):
        at = NOW + timedelta(seconds=seconds)
        ticking.follow()
        scores = score_block(block(at=at), stable.slots, arms=arms)
        live.add(block(at=at), scores["spot_interruption"], made_at=at)
        ticking.ticked(block(at=at), scores, live)
        assert ticking.settle(PATIENCE_S)
    live.write()
    kept = history.ledger.served().collect()
    assert sorted(set(kept.select("arm", "model_id", "value", "as_of").rows())) == [
        ("challenger", CHALLENGER, 0.2, NOW),
        ("control", CONTROL, 0.1, NOW),
    ]
    ticking.close()
