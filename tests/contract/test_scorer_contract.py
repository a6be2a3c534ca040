"""Every scorer implementation, over every kind of model, against every check that ships."""

from collections.abc import Iterator
from functools import cache

import joblib
import numpy as np
import pytest
from onnxruntime import InferenceSession

from services.models import kinds
from services.models.compiled import CompiledForm
from services.models.confined_scorer import ConfinedModel, ConfinedScorer
from services.models.examine import probe_matrix
from services.models.quarantine import Quarantine
from services.models.scorer import Matrix, Scorer, Vector
from services.models.scorer_checks import CHECKS, Check, Reference
from services.models.treelite_scorer import TreeliteScorer
from services.models.uploaded import from_object
from tests.trained_models import FEATURES, KINDS, OBJECT_KINDS, table, trained
from tests.unit.models.honest_models import honest
from tests.unit.models.onnx_graphs import bytes_of, sigmoid
from tests.unit.models.test_honest_corpus import saved

BOOSTER_KINDS = ("xgboost", "xgboost-dart", "xgboost-gamma-price", "xgboost-booster", "lightgbm", "lightgbm-booster")
APART = ("neighbours", "after-columns", "xgboost-linear-price", "xgboost-scaled")


@cache
def booster(kind: str) -> tuple[Scorer, Matrix]:
    """The same for a booster of another library."""
    checked = from_object(honest(kind).estimator).trees
    assert checked is not None
    form = CompiledForm(FEATURES, checked.cast, checked.link, checked.compile())
    rows = np.vstack([probe_matrix(checked.splits, len(FEATURES)), table().to_numpy(float)])
    return TreeliteScorer.from_bytes(form.to_bytes()), rows


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


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("kind", BOOSTER_KINDS)
def test_scorer_of_boosters(kind: str, check: Check) -> None:
    scorer, rows = booster(kind)
    check(scorer, rows, honest(kind).reference)


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


@pytest.fixture(scope="module", params=(*APART, "onnx"))
def apart(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Scorer, Reference]]:
    """The same for other libraries and formats, with what their own library answers."""
    path = tmp_path_factory.mktemp("artifact") / "artifact.bin"
    if request.param == "onnx":
        path.write_bytes(bytes_of(sigmoid()))
        session = InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])

        def answered(rows: Matrix) -> Vector:
            (scores,) = session.run(None, {"rows": rows.astype(np.float32)})
            return np.asarray(scores, float)[:, 0]

        reference: Reference = answered
    else:
        path.write_bytes(saved(honest(request.param).estimator, "pickle5"))
        reference = honest(request.param).reference
    scorer = ConfinedScorer(ConfinedModel("demo:v1", path, FEATURES), Quarantine())
    yield scorer, reference
    scorer.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_confined_scorer_of_other_libraries(apart: tuple[Scorer, Reference], check: Check) -> None:
    scorer, reference = apart
    check(scorer, table().to_numpy(float)[:100], reference)


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
