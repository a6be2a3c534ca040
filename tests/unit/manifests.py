"""The Kubernetes manifests as kustomize renders them, for the tests that look at them."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
Object = dict[str, Any]


def render(folder: Path) -> list[Object]:
    """The objects of a kustomization; the test is skipped where kubectl is not installed."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    result = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def one(objects: list[Object], kind: str, name: str) -> Object:
    """The object of a kind; generated names carry a hash at their end."""
    (found,) = (
        item
        for item in objects
        if item["kind"] == kind
        and (item["metadata"]["name"] == name or item["metadata"]["name"].startswith(name + "-"))
    )
    return found


def pod_templates(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """(who it is for, pod template) of everything that makes pods."""
    for item in objects:
        if item["kind"] == "StatefulSet":
            yield item["metadata"]["name"], item["spec"]["template"]
        if item["kind"] == "RayService":
            cluster = item["spec"]["rayClusterConfig"]
            yield "head", cluster["headGroupSpec"]["template"]
            for group in cluster["workerGroupSpecs"]:
                yield group["groupName"], group["template"]


def env_file(path: Path) -> dict[str, str]:
    """The names and values of a file of NAME=value lines."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
