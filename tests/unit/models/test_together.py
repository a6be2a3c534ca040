"""Questions put together are answered as each alone, and one that is refused is refused alone."""

from pathlib import Path

import numpy as np
import pytest

from engines.sandbox import Program
from services.errors import ModelCrashed
from services.models.confined_scorer import ConfinedModel, ConfinedScorer
from services.models.quarantine import Quarantine
from services.models.scorer import Matrix, Scorer
from services.models.together import score_together
from tests.unit.live.live_blocks import Echo


def column(*values: float) -> Matrix:
    return np.array(values, np.float64).reshape(-1, 1)


def misbehaving(tmp_path: Path, name: str) -> Scorer:
    path = tmp_path / "artifact.bin"
    path.touch()
    program = Program(f"tests.unit.models.scoring_programs:{name}")
    return ConfinedScorer(ConfinedModel("demo:v1", path, ("price",), program), Quarantine())


def test_each_gets_its_own_rows_in_one_call() -> None:
    scorer = Echo(("price",))
    answers = score_together(scorer, [column(1, 2), column(3), column(4, 5, 6)])
    assert [list(answer) for answer in answers if isinstance(answer, np.ndarray)] == [[1, 2], [3], [4, 5, 6]]
    assert len(scorer.asked) == 1


def test_a_value_that_is_refused_is_refused_only_to_who_sent_it(tmp_path: Path) -> None:
    scorer = misbehaving(tmp_path, "picky")
    first, bad, last = score_together(scorer, [column(1), column(-1, 1), column(2)])
    assert isinstance(bad, ValueError)
    assert "negative" in str(bad)
    np.testing.assert_array_equal(first, [0.5])
    np.testing.assert_array_equal(last, [0.5])
    scorer.close()


def test_a_breakdown_is_everybodys(tmp_path: Path) -> None:
    scorer = misbehaving(tmp_path, "ending")
    with pytest.raises(ModelCrashed):
        score_together(scorer, [column(0), column(1)])
    scorer.close()
