"""A model scored in a child of its own: let in, scored, and what happens when the child dies."""

import asyncio
import io
import os
import signal
from pathlib import Path

import joblib
import numpy as np
import pytest

from engines.sandbox import Program
from services.errors import ModelBusy, ModelCrashed, ModelQuarantined, ModelResting, ModelTimedOut, ModelUnavailable
from services.models import confined_scorer
from services.models.confined_scorer import PROGRAM, ConfinedModel, ConfinedScorer
from services.models.intake import Intake
from services.models.loading import ConfinedHere, ScorerLoader
from services.models.quarantine import Kind, Quarantine
from services.models.registry import Registry
from tests.trained_models import FEATURES, table, trained
from tests.unit.models.upload_steps import upload

ONE = np.ones((1, 1))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def saved(kind: str) -> bytes:
    out = io.BytesIO()
    joblib.dump(trained(kind).estimator, out)
    return out.getvalue()


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "artifact.bin"
    path.write_bytes(saved("logistic"))
    return path


def scorer_of(artifact: Path, quarantine: Quarantine | None = None) -> ConfinedScorer:
    return ConfinedScorer(ConfinedModel("demo:v1", artifact, FEATURES, PROGRAM), quarantine or Quarantine())


def misbehaving(
    artifact: Path, name: str, quarantine: Quarantine | None = None, timeout_s: float = 10.0
) -> ConfinedScorer:
    """A scorer of one of `scoring_programs`, which all have one feature."""
    model = ConfinedModel("demo:v1", artifact, ("price",), Program(f"tests.unit.models.scoring_programs:{name}"))
    return ConfinedScorer(model, quarantine or Quarantine(), timeout_s)


def kill(scorer: ConfinedScorer) -> None:
    """End the child as a crash would, and wait until it is gone."""
    child = scorer._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


@pytest.mark.parametrize("kind", ["calibrated", "logistic"])
def test_a_model_that_does_not_compile_is_let_in(intake: Intake, registry: Registry, kind: str) -> None:
    version = upload(intake, saved(kind))
    assert (version.compiled, version.features) == (False, FEATURES)
    scorer, _ = ScorerLoader(registry)(version.model_id)
    assert isinstance(scorer, ConfinedScorer)
    rows = table().to_numpy(float)
    np.testing.assert_allclose(scorer.score(rows), trained(kind).reference(rows), rtol=1e-9)
    np.testing.assert_array_equal(asyncio.run(scorer.score_soon(rows)), scorer.score(rows))
    scorer.close()


def test_a_dead_child_is_replaced(artifact: Path) -> None:
    rows = table().to_numpy(float)[:3]
    scorer = scorer_of(artifact)
    before = scorer.score(rows)
    kill(scorer)
    np.testing.assert_array_equal(scorer.score(rows), before)
    scorer.close()


def test_a_child_that_hangs_is_killed_rests_and_is_started_again(artifact: Path) -> None:
    clock = Clock()
    scorer = misbehaving(artifact, "hanging", Quarantine(clock), timeout_s=0.2)
    with pytest.raises(ModelTimedOut) as late:
        scorer.score(ONE)
    assert (late.value.model_id, late.value.seconds) == ("demo:v1", 0.2)
    with pytest.raises(ModelResting) as rest:
        scorer.score(0 * ONE)
    assert (rest.value.crashes, rest.value.seconds) == (1, 1.0)
    clock.now += 1.0
    assert scorer.score(0 * ONE) == [0.5]
    scorer.close()


def test_each_rest_is_longer_and_the_last_one_has_no_end(artifact: Path) -> None:
    clock, told = Clock(), list[tuple[str, Kind]]()
    quarantine = Quarantine(clock, after=3, told=lambda model_id, kind: told.append((model_id, kind)))
    scorer = misbehaving(artifact, "ending", quarantine)
    for rest_s in (1.0, 2.0):
        with pytest.raises(ModelCrashed, match="exit code 3"):
            scorer.score(ONE)
        with pytest.raises(ModelResting) as rest:
            scorer.score(ONE)
        assert rest.value.seconds == rest_s
        clock.now += rest_s
    with pytest.raises(ModelCrashed):
        scorer.score(ONE)
    clock.now += 1e6
    with pytest.raises(ModelQuarantined) as out:
        scorer.score(ONE)
    assert out.value.crashes == 3
    assert quarantine.states() == {"demo:v1": "in quarantine after 3 breakdowns"}
    assert told == [("demo:v1", "crashed")] * 3
    quarantine.lift("demo:v1")
    assert scorer.score(0 * ONE) == [0.5]
    assert quarantine.states() == {}
    scorer.close()


def test_one_answer_forgives_what_was_before(artifact: Path) -> None:
    clock = Clock()
    quarantine = Quarantine(clock, after=2)
    scorer = misbehaving(artifact, "ending", quarantine)
    for _ in range(3):
        with pytest.raises(ModelCrashed):
            scorer.score(ONE)
        clock.now += 10.0
        assert scorer.score(0 * ONE) == [0.5]
    scorer.close()


def test_what_breaks_while_it_loads_is_counted_over_all_its_scorers(artifact: Path) -> None:
    clock = Clock()
    quarantine = Quarantine(clock, after=2)
    for _ in range(2):
        with pytest.raises(ModelCrashed):
            misbehaving(artifact, "unloadable", quarantine)
        clock.now += 10.0
    with pytest.raises(ModelQuarantined):
        misbehaving(artifact, "unloadable", quarantine)


def test_another_number_of_scores_than_rows_is_a_breakdown(artifact: Path) -> None:
    scorer = misbehaving(artifact, "short")
    with pytest.raises(ModelCrashed, match="another number"):
        scorer.score(np.zeros((3, 1)))
    scorer.close()


def test_a_value_the_library_refuses_is_a_value_error(artifact: Path) -> None:
    scorer = scorer_of(artifact)
    with pytest.raises(ValueError, match="NaN"):
        scorer.score(np.full((1, len(FEATURES)), np.nan))
    assert len(scorer.score(np.zeros((1, len(FEATURES))))) == 1
    scorer.close()


def test_a_closed_scorer_says_so(artifact: Path) -> None:
    scorer = scorer_of(artifact)
    scorer.close()
    scorer.close()
    with pytest.raises(ValueError, match="closed"):
        scorer.score(np.zeros((1, len(FEATURES))))


def test_as_many_as_may_wait_and_no_more(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined_scorer, "MOST_WAITING", 2)
    scorer = misbehaving(artifact, "slow")

    async def ask() -> list[object]:
        return await asyncio.gather(*(scorer.score_soon(ONE) for _ in range(3)), return_exceptions=True)

    answers = asyncio.run(ask())
    assert [type(answer) for answer in answers] == [np.ndarray, np.ndarray, ModelBusy]
    scorer.close()


def test_a_swap_gives_a_model_another_try(intake: Intake, registry: Registry) -> None:
    version = upload(intake, saved("logistic"))
    here = ConfinedHere(registry, Quarantine(after=1))
    loader = ScorerLoader(registry, here)
    here.quarantine.failed(version.model_id, "crashed")
    with pytest.raises(ModelUnavailable):
        loader(version.model_id)
    loader.lift(version.model_id)
    scorer, _ = loader(version.model_id)
    scorer.close()
