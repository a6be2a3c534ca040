"""A registry of its own for each test, and the way in."""

from pathlib import Path

import pytest

from services.models.intake import Intake
from services.models.registry import Registry
from tests.trained_models import FEATURES


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty one."""
    return Registry(tmp_path / "models")


@pytest.fixture
def intake(registry: Registry) -> Intake:
    """Into `registry`, for the features that the trained models have and some more."""
    return Intake(registry, (*FEATURES, "memory_gib", "price_mean_24h"))
