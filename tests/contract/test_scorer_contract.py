"""Every scorer implementation, over every kind of model, against every check that ships."""

from collections.abc import Iterator
from functools import cache

import joblib
import numpy as np
import pytest

from services.models import kinds
from services.models.compiled import CompiledForm
from services.models.confined_scorer import ConfinedModel, ConfinedScorer
from services.models.examine import probe_matrix
from services.models.quarantine import Quarantine
from services.models.scorer import Matrix, Scorer
from services.models.scorer_checks import CHECKS, Check
from services.models.treelite_scorer import TreeliteScorer
from tests.trained_models import FEATURES, KINDS, OBJECT_KINDS, table, trained


@cache
def compiled(kind: str) -> tuple[Scorer, Matrix]:
    """A scorer for the kind, and rows on and beside its thresholds as well as ordinary ones."""
    checked = kinds.check(trained(kind).estimator)
    form = CompiledForm(FEATURES, checked.cast, checked.link, checked.compile())
    rows = np.vstack([probe_matrix(checked.splits, len(FEATURES)), table().to_numpy(float)])
    return TreeliteScorer.from_bytes(form.to_bytes()), rows


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("kind", KINDS)
def test_scorer(kind: str, check: Check) -> None:
    scorer, rows = compiled(kind)
    check(scorer, rows, trained(kind).reference)


@pytest.fixture(scope="module", params=OBJECT_KINDS)
def confined(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Scorer]]:
    """A scorer in a child of its own, for each kind that is not compiled."""
    path = tmp_path_factory.mktemp("artifact") / "artifact.bin"
    joblib.dump(trained(request.param).estimator, path)
    scorer = ConfinedScorer(ConfinedModel("demo:v1", path, FEATURES), Quarantine())
    yield request.param, scorer
    scorer.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_confined_scorer(confined: tuple[str, Scorer], check: Check) -> None:
    kind, scorer = confined
    check(scorer, table().to_numpy(float)[:100], trained(kind).reference)


def test_a_closed_scorer_says_so() -> None:
    scorer, rows = compiled("boosting")
    form = CompiledForm.from_bytes(_file("boosting"))
    closed = TreeliteScorer(form)
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        closed.score(rows)
    assert len(scorer.score(rows)) == len(rows)


@pytest.mark.parametrize("cut", [0, 5, 20, 30])
def test_a_file_that_is_no_compiled_model_is_refused(cut: int) -> None:
    with pytest.raises(ValueError):
        TreeliteScorer.from_bytes(_file("boosting")[:cut])


@pytest.mark.parametrize("field", ["cast", "link", "features"])
def test_a_header_of_another_release_is_refused(field: str) -> None:
    data = _file("boosting").replace(f'"{field}"'.encode(), f'"{field[:-1]}x"'.encode())
    with pytest.raises(ValueError):
        TreeliteScorer.from_bytes(data)


def _file(kind: str) -> bytes:
    checked = kinds.check(trained(kind).estimator)
    return CompiledForm(FEATURES, checked.cast, checked.link, checked.compile()).to_bytes()
