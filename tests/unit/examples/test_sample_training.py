"""The offline pipeline, whole, against a market in a thread: what it writes is what the server takes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

from examples.train_sample_models import main, related
from gapfill.features.registry import NAMES
from gapfill.market.server import MarketOptions, build_app, build_source
from gapfill.market.threaded import serve_in_thread
from services.models.version import ModelMetadata

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
UNTIL = (NOW - timedelta(days=28)).date()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the pipeline has written."""
    out = tmp_path_factory.mktemp("models")
    source, state = build_source(MarketOptions(seed=7, regions=("us-east-1", "us-west-2")))
    with serve_in_thread(build_app(source, state, lambda: NOW)) as address, pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_PRICING"):
            patch.setenv(name, address)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "any")
        wanted = ["--regions", "us-east-1,us-west-2", "--instance-types", "m5.large,c5.large"]
        assert main(["--out", str(out), "--until", str(UNTIL), *wanted, "--interruptions-url", address], NOW) == 0
    return out


def _read(folder: Path, name: str) -> tuple[Any, ModelMetadata, list[str]]:
    """Estimator, metadata, and the features that it names."""
    metadata = ModelMetadata.model_validate_json((folder / f"{name}.metadata.json").read_text())
    return joblib.load(folder / f"{name}.pkl"), metadata, list(metadata.features or ())


@pytest.mark.parametrize("name", ["spot-interruption", "spot-price"])
def test_metadata_is_what_the_server_takes_and_names_the_estimators_features(trained: Path, name: str) -> None:
    estimator, metadata, features = _read(trained, name)
    assert metadata.task == name.replace("-", "_")
    assert features == list(estimator.feature_names_in_)
    assert set(features) <= set(NAMES)
    assert 100 < len(metadata.reference_sample) <= 500
    assert all(list(row) == features for row in metadata.reference_sample)


def test_the_interruption_model_knows_more_than_the_base_rate_and_no_age(trained: Path) -> None:
    estimator, metadata, features = _read(trained, "spot-interruption")
    assert metadata.metrics["auc"] > 0.55
    assert metadata.metrics["brier"] < metadata.metrics["brier_base_rate"]
    assert metadata.metrics["skill"] == pytest.approx(
        1 - metadata.metrics["brier"] / metadata.metrics["brier_base_rate"], abs=1e-3
    )
    importance = dict(zip(features, estimator.feature_importances_, strict=True))
    assert importance["hours_since_launch"] < 0.15
    ages = [row["hours_since_launch"] for row in metadata.reference_sample]
    assert 0.0 in ages


def test_the_price_model_starts_from_the_price_now(trained: Path) -> None:
    estimator, metadata, features = _read(trained, "spot-price")
    rows = pd.DataFrame(metadata.reference_sample)[features]
    predicted = estimator.predict(rows)
    moved = np.abs(predicted / rows["price"].to_numpy() - 1)
    assert np.median(moved) < 0.02
    assert metadata.metrics["rmse"] < 1.1 * metadata.metrics["rmse_last_value"]


def test_the_range_of_all_training_rows_is_in_the_sample(trained: Path) -> None:
    _, metadata, _ = _read(trained, "spot-price")
    sample = pd.DataFrame(metadata.reference_sample)
    assert (sample["hour"].min(), sample["hour"].max()) == (0, 23)
    assert (sample["day_of_week"].min(), sample["day_of_week"].max()) == (0, 6)
    assert set(sample["vcpu"]) == {2, 4, 8, 16}


def test_metadata_is_plain_json(trained: Path) -> None:
    text = (trained / "spot-price.metadata.json").read_text()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_related_types_are_the_families_usual_sizes() -> None:
    assert related(["m5.large", "c5.9xlarge"]) == tuple(
        sorted(
            {
                "c5.9xlarge",
                *(f"{family}.{n}" for family in ("c5", "m5") for n in ["large", "xlarge", "2xlarge", "4xlarge"]),
            }
        )
    )
