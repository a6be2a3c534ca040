"""Honest models: every kind and file format is let in, confined, and scores as its own library does."""

import io
import json
import pickle
import struct
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from engines.sandbox import ConfinedChild
from engines.sandbox_limits import Limits, Tier
from services.errors import ModelExists, ModelRefused, RequestInvalid, TooLarge
from services.models import kinds
from services.models.examine import examine, probe_matrix
from services.models.inspection import PROGRAM
from services.models.intake import Intake, feature_ranges
from services.models.loading import ScorerLoader
from services.models.registry import Registry
from services.models.treelite_scorer import TreeliteScorer
from services.models.version import ModelMetadata
from tests.trained_models import FEATURES, KINDS, table, trained
from tests.unit.models.upload_steps import NOW, left_behind, upload

COMPRESSIONS = ("zlib", "gzip", "bz2", "lzma", "xz")
FORMATS = ("joblib", *COMPRESSIONS, "pickle2", "pickle3", "pickle4", "pickle5")


def saved(estimator: Any, form: str) -> bytes:
    """The bytes of a model file."""
    if form.startswith("pickle"):
        return pickle.dumps(estimator, protocol=int(form[-1]))
    out = io.BytesIO()
    joblib.dump(estimator, out, compress=0 if form == "joblib" else (form, 3))
    return out.getvalue()


def answer(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The examiner's answer, split."""
    (size,) = struct.unpack(">I", data[:4])
    return json.loads(data[4 : 4 + size]), data[4 + size :]


def assert_same_scores(kind: str, compiled: bytes) -> None:
    """The compiled file answers as the library, also next to thresholds."""
    splits = kinds.check(trained(kind).estimator).splits
    rows = np.vstack([probe_matrix(splits, len(FEATURES)), table().to_numpy(float)])
    scores = TreeliteScorer.from_bytes(compiled).score(rows)
    np.testing.assert_allclose(scores, trained(kind).reference(rows), rtol=1e-6, atol=1e-6)


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ConfinedChild, dict[str, int]]]:
    """One child that was given a file of each kind, as starting one for each would take a second."""
    folder = tmp_path_factory.mktemp("files")
    files = {}
    for place, kind in enumerate(KINDS):
        path = folder / kind
        path.write_bytes(saved(trained(kind).estimator, FORMATS[place % len(FORMATS)]))
        files[kind] = path.open("rb")
    numbers = {kind: file.fileno() for kind, file in files.items()}
    with ConfinedChild(PROGRAM, Limits(), files=tuple(numbers.values())) as child:
        yield child, numbers
    for file in files.values():
        file.close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_let_in_and_scores_the_same(kind: str, confined: tuple[ConfinedChild, dict[str, int]]) -> None:
    child, numbers = confined
    assert child.tier.at_least(Tier.B)
    order = {"file": numbers[kind], "task": trained(kind).task, "features": None}
    facts, compiled = answer(child.call(json.dumps(order).encode(), 60))
    assert facts.get("refused") is None
    assert facts["features"] == list(FEATURES)
    assert facts["estimator"].endswith(type(trained(kind).estimator).__name__)
    if "histogram" not in kind:
        assert sum(facts["feature_importance"].values()) == pytest.approx(1)
    assert_same_scores(kind, compiled)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ["boosting", "forest", "histogram", "boosting-stopped-early"])
def test_every_format_is_read(kind: str, form: str, tmp_path: Path) -> None:
    """In this process, as the file is ours."""
    path = tmp_path / "model"
    path.write_bytes(saved(trained(kind).estimator, form))
    with path.open("rb") as file, np.errstate(all="raise"):
        order = {"file": file.fileno(), "task": trained(kind).task, "features": None}
        facts, compiled = answer(examine(json.dumps(order).encode()))
    assert facts["format"] == ("pickle" if form.startswith("pickle") else "joblib")
    assert_same_scores(kind, compiled)


def test_an_upload_becomes_a_version(intake: Intake, registry: Registry) -> None:
    data = saved(trained("boosting").estimator, "gzip")
    sample = [{"price_usd": 0.1, "hour_utc": 1.0}, {"price_usd": 0.3, "hour_utc": None}, {"price_usd": 0.2}]
    version = upload(intake, data, metrics={"auc": 0.9}, reference_sample=sample, description="A model")
    assert version == registry.get("demo:v1") == registry.list()[0]
    assert registry.artifact_path("demo:v1").read_bytes() == data
    assert registry.intact("demo:v1")
    assert (version.format, version.size_bytes, version.features) == ("joblib", len(data), FEATURES)
    assert version.feature_ranges["price_usd"].model_dump() == {"low": 0.1, "high": 0.3, "median": 0.2}
    assert set(version.feature_ranges) == {"price_usd", "hour_utc"}
    scorer, loaded = ScorerLoader(registry)("demo:v1")
    assert loaded == version
    rows = table().to_numpy(float)
    np.testing.assert_allclose(scorer.score(rows), trained("boosting").reference(rows), atol=1e-6)


def test_a_second_upload_of_the_same_version_is_refused(intake: Intake, registry: Registry) -> None:
    upload(intake, saved(trained("tree").estimator, "joblib"))
    before = left_behind(registry)
    with pytest.raises(ModelExists):
        upload(intake, saved(trained("boosting").estimator, "joblib"))
    assert left_behind(registry) == before
    assert registry.get("demo:v1").estimator.endswith("DecisionTreeClassifier")


def test_unknown_features_are_named_with_the_nearest_known(registry: Registry) -> None:
    with pytest.raises(ModelRefused) as caught:
        upload(Intake(registry, ["price_usd", "hour", "vcpu"]), saved(trained("tree").estimator, "joblib"))
    assert caught.value.code == "unknown-feature"
    assert "hour_utc (near: hour)" in caught.value.detail
    assert "price_to_on_demand" in caught.value.detail
    assert left_behind(registry) == []


@pytest.mark.parametrize(
    ("kind", "metadata", "code"),
    [
        ("tree", {"task": "spot_price"}, "wrong-task"),
        ("tree-price", {}, "wrong-task"),
        ("tree", {"features": tuple(reversed(FEATURES))}, "features-differ"),
    ],
)
def test_what_does_not_fit_its_metadata_is_refused(
    tmp_path: Path, kind: str, metadata: dict[str, Any], code: str
) -> None:
    path = tmp_path / "model"
    path.write_bytes(saved(trained(kind).estimator, "joblib"))
    with path.open("rb") as file:
        order = {"file": file.fileno(), "task": "spot_interruption", "features": None} | metadata
        facts, _ = answer(examine(json.dumps(order).encode()))
    assert facts["refused"][0] == code


def test_names_from_the_metadata_serve_a_model_fitted_without(intake: Intake, registry: Registry) -> None:
    rows = table()
    fitted = type(trained("tree").estimator)(max_depth=3).fit(rows.to_numpy(), rows["hour_utc"] > 12)
    fitted.classes_ = np.array([0, 1])
    with pytest.raises(ModelRefused) as caught:
        upload(intake, saved(fitted, "joblib"))
    assert caught.value.code == "features-unnamed"
    assert upload(intake, saved(fitted, "joblib"), features=FEATURES).features == FEATURES


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "../x", "a" * 64, "-a", "a-", "a b", "a\n", "é"])
def test_names_that_are_none_are_refused_before_the_body(intake: Intake, name: str) -> None:
    for field, values in (("model_name", (name, "v1")), ("version", ("demo", name))):
        with pytest.raises(RequestInvalid) as caught:
            intake.check_names(*values, date(2026, 2, 1), NOW)
        assert caught.value.field == field


def test_latest_is_no_version(intake: Intake) -> None:
    with pytest.raises(RequestInvalid, match="newest"):
        intake.check_names("demo", "latest", date(2026, 2, 1), NOW)


def test_a_date_in_the_future_is_refused(intake: Intake) -> None:
    intake.check_names("demo", "v1", NOW.date(), NOW)
    with pytest.raises(RequestInvalid) as caught:
        intake.check_names("demo", "v1", date(2026, 3, 2), NOW)
    assert caught.value.field == "trained_until_date"


def test_a_sample_with_an_infinite_value_is_refused() -> None:
    metadata = ModelMetadata(reference_sample=[{"price_usd": float("inf")}])
    with pytest.raises(RequestInvalid, match="price_usd"):
        feature_ranges(metadata, FEATURES)


def test_an_upload_over_the_limit_is_refused_while_it_arrives(intake: Intake, registry: Registry) -> None:
    with intake.open(10) as staged:
        staged.write(b"12345")
        with pytest.raises(TooLarge):
            staged.write(b"678901")
    assert left_behind(registry) == []


def test_metadata_take_no_unknown_fields() -> None:
    with pytest.raises(ValueError):
        ModelMetadata.model_validate({"tasks": "spot_price"})
