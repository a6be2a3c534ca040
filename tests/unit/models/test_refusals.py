"""What is not let in is told so that its author knows what to do."""

import copyreg
import io
import json
import pickle
import re
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from scipy.sparse import csr_matrix
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from services.models import left_out, permitted
from services.models.reading import open_upload
from services.models.refusal import Refusal
from tests.unit.models.honest_data import features, interrupted, price
from tests.unit.models.honest_models import honest

OTHER_VERSION = pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
ROOT = Path(__file__).parents[3]


def refusal(data: bytes) -> Refusal:
    """Of a file, read in this process, as it is ours."""
    with pytest.raises(Refusal) as caught:
        open_upload(io.BytesIO(data))
    return caught.value


def fitted(estimator: Any) -> Any:
    return estimator.fit(features(), interrupted())


def ranker() -> Any:
    model = xgboost.XGBRanker(n_estimators=1)
    return model.fit(features(), interrupted(), qid=np.zeros(len(features()), int))


LEFT_OUT = {
    "sklearn.model_selection._search.GridSearchCV": lambda: GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2),
    "sklearn.model_selection._classification_threshold.TunedThresholdClassifierCV": lambda: TunedThresholdClassifierCV(
        LogisticRegression(), cv=2
    ),
    "sklearn.ensemble._iforest.IsolationForest": lambda: IsolationForest(n_estimators=2),
    "functools.partial": lambda: make_pipeline(
        FunctionTransformer(partial(np.clip, a_min=0, a_max=1)), StandardScaler()
    ),
}


@pytest.mark.parametrize("named", LEFT_OUT)
def test_what_is_left_out_on_purpose_says_why_and_what_to_send(named: str) -> None:
    refused = refusal(pickle.dumps(fitted(LEFT_OUT[named]())))
    why, advice = left_out.LEFT_OUT[named]
    assert refused.code == "type-not-permitted"
    assert named in refused.detail
    assert why in refused.detail
    assert refused.advice == advice


def test_histogram_boosting_over_categories_is_refused_for_its_categories() -> None:
    model = fitted(HistGradientBoostingClassifier(max_iter=2, categorical_features=[2]))
    refused = refusal(pickle.dumps(model))
    assert "categories" in refused.detail
    assert "numbers instead of categories" in refused.advice


@pytest.mark.parametrize(
    "model", [ranker, lambda: MultiOutputClassifier(LogisticRegression())], ids=["ranker", "outputs"]
)
def test_what_gives_no_number_is_refused(model: Any) -> None:
    refused = refusal(pickle.dumps(model()))
    assert refused.code == "type-not-permitted"
    assert "Upload" in refused.advice


def test_the_decision_lists_what_is_left_out() -> None:
    page = (ROOT / "docs/decisions/0101-models-left-out.md").read_text(encoding="utf-8")
    names = {name.rpartition(".")[2] for name in left_out.LEFT_OUT} | set(left_out.OTHER_LIBRARIES)
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_the_page_on_model_files_has_every_code() -> None:
    page = (ROOT / "docs/model-files.md").read_text(encoding="utf-8")
    sources = "".join(
        (ROOT / "services/models" / name).read_text(encoding="utf-8")
        for name in ("examine.py", "reading.py", "onnx_file.py", "inspection.py", "intake.py")
    )
    codes = set(re.findall(r'(?:Refusal|ModelRefused|_another_version)\(\s*"([a-z-]+)"', sources))
    assert len(codes) > 12
    assert {code for code in codes if f"`{code}`" not in page} == set()


def test_every_permitted_name_is_where_the_libraries_have_it() -> None:
    tables = (permitted.TREES, permitted.XGBOOST, permitted.LIGHTGBM, permitted.BOOSTERS, permitted.OTHERS)
    for names in (*tables, permitted.PARTS):
        for (module, name), kind in permitted.load(names).items():
            assert (kind.__module__, kind.__qualname__) == (module, name)


def test_nothing_is_both_let_in_and_left_out() -> None:
    assert {f"{m}.{name}" for t in (permitted.OTHERS, permitted.PARTS) for m, name in permitted.load(t)}.isdisjoint(
        left_out.LEFT_OUT
    )


def test_a_class_that_another_version_had_elsewhere_names_our_version() -> None:
    old = pickle.dumps(fitted(LogisticRegression()), protocol=2)
    refused = refusal(old.replace(b"sklearn.linear_model._logistic", b"sklearn.linear_model.logistic"))
    assert refused.code == "library-version-differs"
    assert "sklearn.linear_model._logistic.LogisticRegression in sklearn 1." in refused.detail


@OTHER_VERSION
def test_a_model_that_breaks_for_its_version_says_which_versions() -> None:
    model = fitted(KNeighborsClassifier())
    del model.effective_metric_
    state = pickle.dumps(model, protocol=2).replace(b"1.9.1", b"1.2.0")
    refused = refusal(state)
    assert refused.code == "library-version-differs"
    assert "scikit-learn 1.2.0, and this server has 1.9" in refused.detail


@OTHER_VERSION
def test_a_model_of_another_version_that_works_is_let_in_and_says_its_version() -> None:
    data = pickle.dumps(fitted(LogisticRegression()), protocol=2).replace(b"1.9.1", b"1.9.0")
    assert open_upload(io.BytesIO(data)).libraries == {"scikit-learn": "1.9.0"}


def test_the_versions_of_boosters_libraries_are_told() -> None:
    libraries = open_upload(io.BytesIO(pickle.dumps(honest("xgboost").estimator))).libraries
    assert libraries["xgboost"] == xgboost.__version__


def test_a_step_with_code_of_its_own_is_refused() -> None:
    model = make_pipeline(FunctionTransformer(np.sqrt), StandardScaler())
    data = pickle.dumps(model, protocol=2).replace(b"cnumpy\nsqrt", b"c__main__\nsqrt")
    refused = refusal(data)
    assert "__main__.sqrt" in refused.detail
    assert "log1p" in refused.advice


def test_a_state_sets_no_property_whose_code_would_run() -> None:
    data = pickle.dumps(csr_matrix(np.eye(2)), protocol=4).replace(b"\x8c\x06_shape", b"\x8c\x05shape")
    refused = refusal(data)
    assert "csr_matrix.shape would run the code behind a property" in refused.detail


def test_a_container_of_models_is_no_model() -> None:
    refused = refusal(pickle.dumps({"model": honest("logistic").estimator}))
    assert (refused.code, "builtins.dict" in refused.detail) == ("not-an-estimator", True)


@pytest.mark.parametrize(
    "estimator", [RidgeClassifier(), NearestCentroid(metric="manhattan")], ids=["ridge", "centroid"]
)
def test_a_classifier_without_probabilities_is_read_as_one(estimator: Any) -> None:
    gives = open_upload(io.BytesIO(pickle.dumps(fitted(estimator)))).model.gives
    assert gives in ("classes", "probability")


@pytest.mark.parametrize(
    "change",
    [
        ("left_child=", "left_child=9"),
        ("right_child=", "right_child=9999"),
        ("split_feature=", "split_feature=77"),
        ("num_leaves=", "num_leaves=9"),
        ("max_feature_idx=3", "max_feature_idx=99999999"),
        ("num_class=1", "num_class=5"),
        ("leaf_value=", "leaf_value=nan"),
        ("num_cat=0", "num_cat=3"),
        ("is_linear=0", "is_linear=1"),
    ],
    ids=lambda change: str(change[1]),
)
def test_a_lightgbm_text_that_lies_is_refused_before_lightgbm_reads_it(change: tuple[str, str]) -> None:
    booster = honest("lightgbm-booster").estimator
    text = booster.model_to_string()
    state = booster.__getstate__() | {"_handle": text.replace(*change, 1)}

    class Tampering(pickle.Pickler):
        def reducer_override(self, found: Any) -> Any:
            return (copyreg.__newobj__, (lightgbm.Booster,), state) if found is booster else NotImplemented  # type: ignore[attr-defined]

    out = io.BytesIO()
    Tampering(out, protocol=4).dump(booster)
    refused = refusal(out.getvalue())
    assert refused.code == "unreadable"
    assert "ValueError" in refused.detail


def tampered_skops(change: Any) -> bytes:
    """An honest skops file whose schema was changed."""
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(honest("after-pca").estimator)))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, change(data.decode()) if name == "schema.json" else data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("found", "instead", "code"),
    [
        ('"PCA"', '"MiniBatchSparsePCA"', "type-not-permitted"),
        ('"ObjectNode"', '"MethodNode"', "type-not-permitted"),
        ('"ObjectNode"', '"PartialNode"', "type-not-permitted"),
        ('"__module__": "sklearn.decomposition._pca"', '"__module__": "os"', "type-not-permitted"),
        ('"ListNode"', '"OperatorFuncNode"', "type-not-permitted"),
        ('"n_components"', '"transform"', "type-not-permitted"),
        ('"protocol": ', '"protocol": 1', "unreadable"),
        ('"protocol": ', '"protocol": 0, "was": ', "unreadable"),
    ],
)
def test_a_skops_file_is_held_to_our_list(found: str, instead: str, code: str) -> None:
    refused = refusal(tampered_skops(lambda text: text.replace(found, instead, 1)))
    assert refused.code == code


def test_a_part_of_a_skops_file_cannot_stand_for_another() -> None:
    """By their ids, skops would take the first part for both."""
    schema = tampered_skops(lambda text: re.sub(r'"__id__": \d+', '"__id__": 7', text))
    rows = features().to_numpy(float)
    have = open_upload(io.BytesIO(schema)).model.predict(rows)
    np.testing.assert_allclose(have, honest("after-pca").reference(rows), rtol=1e-9)


def test_a_skops_bomb_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", json.dumps({}))
        archive.writestr("array.npy", bytes(100 * 1024**2))
    assert "far more than its size" in refusal(out.getvalue()).detail


def test_prices_over_frames_are_no_part_of_a_model() -> None:
    refused = refusal(pickle.dumps(pd.DataFrame({"price": price()})))
    assert refused.code == "type-not-permitted"
