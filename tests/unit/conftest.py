"""Unit tests refuse Ray: what needs a cluster belongs in tests/cluster."""

import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import pytest

REFUSAL = "unit tests must not use Ray; put this test into tests/cluster"
CLUSTER_CALLS = ("init", "remote", "get", "put", "wait", "get_actor")


class RefuseRay(MetaPathFinder):
    """Stands first among the importers and lets no first import of ray through."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Nothing for other names, an error for ray."""
        if name == "ray" or name.startswith("ray."):
            raise ImportError(REFUSAL)  # libraries that would use Ray where it is installed go on without
        return None


@pytest.fixture(autouse=True)
def _refuse_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where another test of the session has imported ray already, its calls fail; else importing it does."""
    ray = sys.modules.get("ray")
    for call in CLUSTER_CALLS if ray is not None else ():
        monkeypatch.setattr(ray, call, _refuse)
    guard = RefuseRay()
    sys.meta_path.insert(0, guard)
    yield
    sys.meta_path.remove(guard)


def _refuse(*_values: object, **_named: object) -> NoReturn:
    raise RuntimeError(REFUSAL)
