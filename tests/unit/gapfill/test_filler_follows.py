"""The filler comes back by itself to the gap of a model that became active while the market was away."""

import threading
import time
from pathlib import Path

import pytest

from gapfill.errors import MarketUnavailable
from tests.fake_predictor import model
from tests.unit.gapfill.filler_world import GAP_START, World, build


def test_the_gap_of_a_model_activated_while_the_market_was_away_is_filled_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gapfill.filler._ASK_AGAIN_S", 0.0)
    world = build(tmp_path)
    world.filler.ensure_filled()
    world.run()
    world.predictor.active = [model(GAP_START, "other:v1")]
    regions, down = world.market.regions, [MarketUnavailable("us-east-1", "away")]
    monkeypatch.setattr(world.market, "regions", lambda: regions() if not down else not_yet(down))
    stop = threading.Event()
    worker = threading.Thread(target=world.filler.run, args=(stop,), kwargs={"ensure": True})
    worker.start()
    deadline = time.monotonic() + 30
    while "other:v1" not in predicted(world) and time.monotonic() < deadline:
        worker.join(timeout=0.02)
    stop.set()
    worker.join(timeout=10)
    assert not worker.is_alive()
    assert "other:v1" in predicted(world)
    assert down == []
    assert len(world.filler.history()) == 2, "ordered once for each set of models, not at every look"


def predicted(world: World) -> set[str]:
    """The models that have predicted the gap."""
    return {str(model_id) for model_id in world.history.predictions()["model_id"].unique()}


def not_yet(down: list[MarketUnavailable]) -> tuple[str, ...]:
    """What a market says that is away once more."""
    raise down.pop()
