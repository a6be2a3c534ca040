"""The contract stands alone: importing it loads the standard library and pydantic, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from engines.contract import Cluster
from tests.unit.engines import engine_inputs as small

_LOADED = """
import sys
import engines.contract
roots = {name.partition(".")[0] for name in sys.modules}
print(*sorted(root for root in roots - sys.stdlib_module_names if not root.startswith("_")))
"""
_PYDANTIC = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}


def test_the_contract_needs_the_standard_library_and_pydantic_only() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", _LOADED], cwd=root, capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name not in ("sitecustomize", "usercustomize")}
    third_party = {name for name in loaded if not name.startswith("__")} - {"engines"}
    in_every_process = subprocess.run(
        [sys.executable, "-c", _LOADED.replace("import engines.contract", "")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert third_party - set(in_every_process.stdout.split()) <= _PYDANTIC


def test_two_clusters_with_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same cluster_id"):
        small.given(Cluster(cluster_id="c"), Cluster(cluster_id="c"))
