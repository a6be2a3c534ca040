"""ONNX models: honest graphs score as ONNX Runtime itself, others are refused before or within the child."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from services.errors import ModelRefused
from services.models.intake import Intake
from services.models.loading import ScorerLoader
from services.models.registry import Registry
from tests.trained_models import FEATURES, table
from tests.unit.models.onnx_graphs import HONEST, REFUSED, bytes_of, expanding, line, sigmoid
from tests.unit.models.upload_steps import left_behind, upload


def reference(data: bytes, rows: Any) -> Any:
    """ONNX Runtime's own answer, float64[n]."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    kind = np.float64 if inputs[0].type == "tensor(double)" else np.float32
    columns = [rows] if len(inputs) == 1 else [rows[:, place : place + 1] for place in range(len(inputs))]
    feed = {value.name: column.astype(kind) for value, column in zip(inputs, columns, strict=True)}
    last = session.run(None, feed)[-1]
    if isinstance(last, list):
        return np.array([row[1] for row in last])
    return last[:, -1]


@pytest.mark.parametrize("kind", HONEST)
def test_a_graph_scores_as_onnx_runtime(kind: str, intake: Intake, registry: Registry) -> None:
    data, rows = bytes_of(HONEST[kind]()), table().to_numpy(float)[:50]
    task = "spot_price" if kind.endswith("price") else "spot_interruption"
    version = upload(intake, data, task=task, features=FEATURES)
    assert (version.format, version.compiled, version.features) == ("onnx", False, FEATURES)
    scorer, _ = ScorerLoader(registry)(version.model_id)
    np.testing.assert_allclose(scorer.score(rows), reference(data, rows), rtol=1e-6, atol=1e-6)
    scorer.close()


def test_the_file_may_name_the_features(intake: Intake) -> None:
    assert upload(intake, bytes_of(sigmoid())).features == FEATURES


@pytest.mark.parametrize("kind", REFUSED)
def test_a_graph_that_could_harm_is_refused(kind: str, intake: Intake, registry: Registry) -> None:
    make, word = REFUSED[kind]
    with pytest.raises(ModelRefused) as caught:
        upload(intake, bytes_of(make()), task="spot_price")
    assert caught.value.code == "onnx-not-permitted"
    assert word in caught.value.detail
    assert left_behind(registry) == []


def test_a_graph_that_wants_all_memory_is_refused(intake: Intake) -> None:
    with pytest.raises(ModelRefused) as caught:
        upload(intake, bytes_of(expanding()), task="spot_price")
    assert caught.value.code in ("corrupt", "too-much-memory", "onnx-not-permitted")


def test_numbers_outside_0_to_1_are_no_probability(intake: Intake) -> None:
    with pytest.raises(ModelRefused) as caught:
        upload(intake, bytes_of(line()))
    assert caught.value.code == "no-probability"


@pytest.mark.parametrize("kept", [10, 100, 200])
def test_a_cut_off_graph_is_refused(kept: int, intake: Intake, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused):
        upload(intake, bytes_of(sigmoid())[:kept])
