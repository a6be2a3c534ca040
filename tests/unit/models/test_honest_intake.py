"""Honest models go through the whole intake: examined, kept, loaded again and scored as their libraries do."""

import numpy as np
import pytest

from services.models.confined_scorer import ConfinedScorer
from services.models.intake import Intake
from services.models.loading import ScorerLoader
from services.models.registry import Registry
from services.models.treelite_scorer import TreeliteScorer
from tests.trained_models import FEATURES
from tests.unit.models.honest_models import asked, honest
from tests.unit.models.test_honest_corpus import saved
from tests.unit.models.upload_steps import upload


@pytest.mark.parametrize(
    ("kind", "form", "compiled"),
    [
        ("forest-over-gaps", "skops", True),
        ("network", "skops", False),
        ("xgboost-over-gaps", "pickle5", True),
        ("xgboost-scaled", "gzip", False),
        ("xgboost-booster", "pickle2", True),
        ("xgboost-linear-price", "gzip", False),
        ("lightgbm-over-gaps", "joblib", True),
        ("lightgbm-booster-price", "skops", True),
        ("neighbours", "joblib", False),
        ("after-columns", "pickle4", False),
        ("boosting-from-logistic", "pickle3", False),
    ],
)
def test_an_upload_scores_as_its_library(
    intake: Intake, registry: Registry, kind: str, form: str, *, compiled: bool
) -> None:
    model = honest(kind)
    version = upload(intake, saved(model.estimator, form), task=model.task)
    assert (version.features, version.compiled) == (FEATURES, compiled)
    assert version.format == {"g": "joblib", "p": "pickle"}.get(form[0], form)
    scorer, _ = ScorerLoader(registry)(version.model_id)
    assert isinstance(scorer, TreeliteScorer if compiled else ConfinedScorer)
    rows = asked(kind)
    np.testing.assert_allclose(scorer.score(rows), model.reference(rows), rtol=1e-6, atol=1e-6)
    scorer.close()
