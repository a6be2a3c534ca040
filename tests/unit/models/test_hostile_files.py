"""Files that are not let in: nothing of them runs, the answer says why, and nothing of them remains."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from services.errors import ModelRefused
from services.models import containers, kinds
from services.models.examine import examine
from services.models.inspection import Inspector
from services.models.intake import Intake
from services.models.registry import Registry
from services.models.safe_load import RefusedPickle, load
from tests.trained_models import trained
from tests.unit.models.hostile_files import BEFORE_LOADING, TAMPERED_TREES, memory_bomb, system, tampered_tree
from tests.unit.models.upload_steps import left_behind, upload


@pytest.mark.parametrize("name", BEFORE_LOADING)
def test_the_unpickler_runs_nothing(name: str, tmp_path: Path) -> None:
    """In this process and unconfined, so that the unpickler alone must hold."""
    canary = tmp_path / "canary"
    stream, _ = containers.decompressed(io.BytesIO(BEFORE_LOADING[name](canary)))
    with pytest.raises((RefusedPickle, ValueError, pickle.UnpicklingError, EOFError)):
        load(stream)
    assert not canary.exists()


def test_the_canary_would_sing(tmp_path: Path) -> None:
    """A plain loader does run such a file, so the test above can fail."""
    canary = tmp_path / "canary"
    joblib.load(io.BytesIO(BEFORE_LOADING["object_array"](canary)))
    assert canary.exists()


@pytest.mark.parametrize("name", TAMPERED_TREES)
def test_a_corrupt_tree_is_refused_before_anything_walks_it(name: str) -> None:
    with pytest.raises(ValueError, match="tree"):
        load(io.BytesIO(tampered_tree(TAMPERED_TREES[name])))


@pytest.mark.parametrize("field", ["left", "feature_idx"])
def test_a_corrupt_histogram_tree_is_refused(field: str) -> None:
    model = pickle.loads(pickle.dumps(trained("histogram").estimator))
    model._predictors[0][0].nodes[field][0] = 4_000_000
    with pytest.raises(ValueError, match="tree"):
        kinds.check(model)


def test_a_forest_that_lies_about_its_size_is_put_right() -> None:
    model = pickle.loads(pickle.dumps(trained("boosting").estimator))
    model.n_estimators = 1_000_000
    checked = kinds.check(model)
    assert checked.trees == 8
    checked.compile()


@pytest.mark.parametrize(
    ("data", "code", "word"),
    [
        (system(Path("/tmp/never")), "type-not-permitted", "os.system"),
        (tampered_tree(TAMPERED_TREES["endless"]), "unreadable", "child outside"),
        (pickle.dumps(trained("forest").estimator)[:-100], "unreadable", ""),
        (b"", "unreadable", "empty"),
    ],
    ids=["command", "endless", "truncated", "empty"],
)
def test_a_refused_upload_says_why_and_leaves_nothing(
    intake: Intake, registry: Registry, data: bytes, code: str, word: str
) -> None:
    with pytest.raises(ModelRefused) as caught:
        upload(intake, data)
    assert caught.value.code == code
    assert word in caught.value.detail
    assert caught.value.advice
    assert left_behind(registry) == []
    assert registry.list() == []


@pytest.mark.parametrize(
    ("data", "code", "word"),
    [
        (pickle.dumps({"model": 1}), "not-an-estimator", "builtins.dict"),
        (pickle.dumps(IsolationForest()), "type-not-permitted", "finds outliers"),
        (pickle.dumps(LogisticRegression()), "corrupt", "not fitted"),
        (pickle.dumps(RandomForestClassifier()), "corrupt", "not fitted"),
        (b"PK\x03\x04" + bytes(60), "unreadable", "zip"),
        (b"\x08\x09\x12\x07pytorch" + bytes(60), "unreadable", "ONNX"),
        (b"MZ not a model at all", "unreadable", "neither"),
        (b"\x80\x06" + bytes(60), "unreadable", "neither"),
    ],
    ids=["container", "other-kind", "unfitted-linear", "unfitted", "zip", "onnx", "program", "protocol-6"],
)
def test_what_is_no_tree_model_is_told_apart(tmp_path: Path, data: bytes, code: str, word: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(data)
    with path.open("rb") as file:
        answer = examine(json.dumps({"file": file.fileno(), "task": "spot_interruption", "features": ["a"]}).encode())
    refused = json.loads(answer[4:])["refused"]
    assert refused[0] == code
    assert word in refused[1]


@pytest.mark.parametrize("compression", ["gzip", "zlib", "bz2", "lzma", "xz"])
def test_a_compressed_file_with_more_bytes_is_refused(compression: str) -> None:
    out = io.BytesIO()
    joblib.dump(trained("tree").estimator, out, compress=(compression, 3))
    stream, _ = containers.decompressed(io.BytesIO(out.getvalue() + b"more bytes"))
    with pytest.raises((RefusedPickle, OSError, EOFError)):
        load(stream)


def test_a_memory_bomb_is_refused(registry: Registry) -> None:
    intake = Intake(registry, [])
    with pytest.raises(ModelRefused) as caught:
        upload(intake, memory_bomb())
    assert caught.value.code == "too-much-memory"
    assert left_behind(registry) == []


def test_a_model_that_takes_too_long_is_refused(registry: Registry) -> None:
    intake = Intake(registry, [], Inspector(timeout_s=0.001))
    with pytest.raises(ModelRefused) as caught:
        upload(intake, pickle.dumps(trained("forest").estimator))
    assert caught.value.code == "too-slow"
    assert left_behind(registry) == []


def test_an_array_of_objects_cannot_be_nested_without_end() -> None:
    nested: Any = np.array([1, "x"], dtype=object)
    for _ in range(8):
        outer = np.empty(1, dtype=object)
        outer[0] = nested
        nested = outer
    out = io.BytesIO()
    joblib.dump(nested, out)
    loaded, _ = load(io.BytesIO(out.getvalue()))  # joblib writes what is within as one plain pickle
    assert type(loaded) is np.ndarray
