"""The guard against Ray in unit tests does guard."""

import importlib
import sys

import pytest


def test_using_ray_fails_whether_or_not_it_was_imported_before() -> None:
    with pytest.raises((ImportError, RuntimeError), match="unit tests must not use Ray"):
        importlib.import_module("ray").init()


def test_importing_ray_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "ray" or name.startswith("ray.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match="unit tests must not use Ray"):
        importlib.import_module("ray")
    with pytest.raises(ImportError, match="unit tests must not use Ray"):
        importlib.import_module("ray.serve")
