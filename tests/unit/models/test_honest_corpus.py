"""Honest models of every kind, saved in every way, load in the confined child and predict as their libraries do."""

import io
import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io

from engines.sandbox import ConfinedChild, Program
from engines.sandbox_limits import Limits
from tests.unit.models.honest_models import KINDS, WIDTH, asked, honest

PROGRAM = Program("tests.unit.models.honest_program:answer")
PLACED = {
    "joblib": 0,
    "gzip": ("gzip", 1),
    "zlib": ("zlib", 1),
    "bz2": ("bz2", 1),
    "xz": ("xz", 0),
    "lzma": ("lzma", 0),
}
FORMS = ("joblib", "gzip", "pickle2", "pickle3", "pickle4", "pickle5", "skops")
RARE_FORMS = ("zlib", "bz2", "xz", "lzma")  # of joblib's; the stream within is the same, so a few kinds will do
FEW = ("forest-over-gaps", "neighbours", "xgboost", "after-columns")


def saved(estimator: Any, form: str) -> bytes:
    """The bytes of a model file."""
    if form == "skops":
        return bytes(skops.io.dumps(estimator))
    if form.startswith("pickle"):
        return pickle.dumps(estimator, protocol=int(form[-1]))
    out = io.BytesIO()
    joblib.dump(estimator, out, compress=PLACED[form])
    return out.getvalue()


@dataclass
class Reader:
    """A confined child and the one file that it may read."""

    child: ConfinedChild
    path: Path
    file: int

    def ask(self, data: bytes, rows: Any) -> Any:
        """float64[n] for float64[n, 4]."""
        with self.path.open("r+b") as target:
            target.write(data)
        order = {"file": self.file, "offset": 0, "size": len(data), "width": WIDTH}
        answer = self.child.call(json.dumps(order).encode() + b"\n" + rows.tobytes(), 60.0)
        return np.frombuffer(answer, np.float64)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    path = tmp_path_factory.mktemp("honest") / "file"
    path.write_bytes(b"")
    with path.open("rb") as file, ConfinedChild(PROGRAM, Limits(cpu_s=120), files=(file.fileno(),)) as child:
        yield Reader(child, path, file.fileno())


@pytest.mark.parametrize("kind", FEW)
def test_every_compression_of_joblib_is_read(kind: str, reader: Reader) -> None:
    model, rows = honest(kind), asked(kind)
    for form in RARE_FORMS:
        np.testing.assert_allclose(reader.ask(saved(model.estimator, form), rows), model.reference(rows), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_predicts_as_its_library_from_every_form(kind: str, reader: Reader) -> None:
    model, rows = honest(kind), asked(kind)
    want = model.reference(rows)
    for form in FORMS:
        have = reader.ask(saved(model.estimator, form), rows)
        np.testing.assert_allclose(have, np.asarray(want, float).reshape(len(rows)), rtol=1e-6, atol=1e-6, err_msg=form)
