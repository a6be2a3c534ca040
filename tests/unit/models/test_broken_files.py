"""Honest files, cut off or with a few bytes changed: refused, or a model with finite answers; never a crash here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.errors import ModelRefused
from services.models.inspection import Facts, Inspector
from services.models.treelite_scorer import TreeliteScorer
from tests.trained_models import FEATURES, table
from tests.unit.models.honest_models import honest
from tests.unit.models.onnx_graphs import bytes_of, tree
from tests.unit.models.test_honest_corpus import saved

SEED = 20_261_125
FILES = (
    ("forest-over-gaps", "joblib"),
    ("histogram-over-gaps", "pickle5"),
    ("boosting", "skops"),
    ("xgboost-over-gaps", "pickle4"),
    ("lightgbm-over-gaps", "pickle2"),
    ("neighbours", "gzip"),
    ("svm-calibrated", "joblib"),
    ("after-columns", "skops"),
    ("tree", "onnx"),
)
CASES = 8


def file_of(kind: str, form: str) -> bytes:
    """The honest one."""
    return bytes_of(tree()) if form == "onnx" else saved(honest(kind).estimator, form)


def broken(data: bytes, random: np.random.Generator, case: int) -> bytes:
    """Cut off in every fourth case, else with one to sixteen bytes changed, all over or in one place."""
    if case % 4 == 0:
        return data[: int(random.integers(1, len(data)))]
    changed = bytearray(data)
    count = int(random.integers(1, 17))
    start = int(random.integers(0, len(data)))
    places = random.integers(0, len(data), count) if case % 2 else (start + np.arange(count)) % len(data)
    for place in places:
        changed[place] ^= int(random.integers(1, 256))
    return bytes(changed)


def look_at(path: Path, task: Any) -> tuple[Facts, bytes] | None:
    """What the examination says; None for a refusal, which has words for its author."""
    try:
        return Inspector().inspect(path, task, FEATURES)
    except ModelRefused as error:
        refused = error
    assert refused.code
    assert refused.detail
    assert refused.advice
    return None


@pytest.mark.parametrize(("kind", "form"), FILES)
def test_a_broken_file_is_refused_or_gives_finite_numbers(kind: str, form: str, tmp_path: Path) -> None:
    data, task = file_of(kind, form), "spot_price" if form == "onnx" else honest(kind).task
    random = np.random.default_rng([SEED, len(kind), len(form)])
    path = tmp_path / "upload"
    path.write_bytes(data)
    assert look_at(path, task) is not None, "the honest file itself is let in"
    for case in range(CASES):
        path.write_bytes(broken(data, random, case))
        found = look_at(path, task)
        if found is not None and found[1]:
            scores = TreeliteScorer.from_bytes(found[1]).score(table().to_numpy(float)[:50])
            assert np.isfinite(scores).all()
