"""A model scored in a child of its own: let in, scored, and what happens when the child dies."""

import io
import os
import signal
from pathlib import Path

import joblib
import numpy as np
import pytest

from services.errors import Unavailable
from services.models.confined_scorer import ConfinedScorer
from services.models.intake import Intake
from services.models.loading import ScorerLoader
from services.models.registry import Registry
from tests.trained_models import FEATURES, table, trained
from tests.unit.models.upload_steps import upload


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


def kill(scorer: ConfinedScorer) -> None:
    """End the child as a crash would, and wait until it is gone."""
    child = scorer._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("kind", ["calibrated", "logistic"])
def test_a_model_that_does_not_compile_is_let_in(intake: Intake, registry: Registry, kind: str) -> None:
    version = upload(intake, saved(kind))
    assert (version.compiled, version.features) == (False, FEATURES)
    scorer, _ = ScorerLoader(registry)(version.model_id)
    assert isinstance(scorer, ConfinedScorer)
    rows = table().to_numpy(float)
    np.testing.assert_allclose(scorer.score(rows), trained(kind).reference(rows), rtol=1e-9)
    scorer.close()


def test_a_dead_child_is_replaced(artifact: Path) -> None:
    rows = table().to_numpy(float)[:3]
    scorer = ConfinedScorer(artifact, FEATURES)
    before = scorer.score(rows)
    kill(scorer)
    np.testing.assert_array_equal(scorer.score(rows), before)
    scorer.close()


def test_a_child_that_hangs_is_killed_rests_and_is_started_again(artifact: Path) -> None:
    rows = table().to_numpy(float)
    clock = Clock()
    scorer = ConfinedScorer(artifact, FEATURES, clock=clock)
    scorer._timeout_s = 0.0
    with pytest.raises(Unavailable, match="ChildTimedOut"):
        scorer.score(rows)
    scorer._timeout_s = 10.0
    with pytest.raises(Unavailable, match="about to be started"):
        scorer.score(rows)
    clock.now += 2.0
    assert len(scorer.score(rows)) == len(rows)
    scorer.close()


def test_after_crashes_in_a_row_it_stays_away(artifact: Path) -> None:
    clock = Clock()
    scorer = ConfinedScorer(artifact, FEATURES, clock=clock, quarantine_after=2)
    artifact.write_bytes(b"no model any more")
    kill(scorer)
    for _ in range(2):
        clock.now += 100.0
        with pytest.raises(Unavailable, match="ProgramRaised"):
            scorer.score(np.zeros((1, len(FEATURES))))
    clock.now += 100.0
    with pytest.raises(Unavailable, match="activate it again"):
        scorer.score(np.zeros((1, len(FEATURES))))
    scorer.close()


def test_a_value_the_library_refuses_is_a_value_error(artifact: Path) -> None:
    scorer = ConfinedScorer(artifact, FEATURES)
    with pytest.raises(ValueError, match="NaN"):
        scorer.score(np.full((1, len(FEATURES)), np.nan))
    assert len(scorer.score(np.zeros((1, len(FEATURES))))) == 1
    scorer.close()


def test_a_closed_scorer_says_so(artifact: Path) -> None:
    scorer = ConfinedScorer(artifact, FEATURES)
    scorer.close()
    scorer.close()
    with pytest.raises(ValueError, match="closed"):
        scorer.score(np.zeros((1, len(FEATURES))))
