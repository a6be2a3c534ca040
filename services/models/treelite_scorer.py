"""Scores compiled trees in this process, one row in some 20 µs."""

import ctypes

import numpy as np
import treelite
from treelite.core import _LIB as LIBRARY
from treelite.gtil.gtil import GTILConfig

from services.models.compiled import CompiledForm
from services.models.scorer import Matrix, Vector


class TreeliteScorer:
    """A `Scorer` over treelite's GTIL.

    `treelite.gtil.predict` makes a configuration object and looks the output's shape up in each call (70 µs); the
    library's own function, called with what is known since loading, takes a quarter of that. One thread per call:
    a second one gains a third of the time for 10,000 rows and nothing for one, and other requests want the core.
    """

    def __init__(self, form: CompiledForm) -> None:
        """Load the trees; raises ValueError when they are not for one numeric output."""
        self._features = form.features
        self._cast = np.float32 if form.cast == "float32" else np.float64
        self._exponential = form.link == "exponential"
        model = treelite.Model.deserialize_bytes(form.trees)
        if model.input_type not in ("float32", "float64") or model.output_type != model.input_type:
            raise ValueError(f"trees over {model.input_type} giving {model.output_type} are not supported")
        if model.input_type == "float32" and form.cast != "float32":
            raise ValueError("trees over float32 are asked with float32")
        self._type = np.dtype(model.input_type)
        self._type_name = str(model.input_type).encode()
        if model.num_feature > len(form.features):
            raise ValueError(f"the trees use {model.num_feature} features, {len(form.features)} are named")
        self._outputs = _outputs_per_row(model)
        self._model: treelite.Model | None = model
        self._config = GTILConfig(predict_type="default", nthread=1)
        # GTIL wants exactly the columns the trees know; the model may name more that no tree uses.
        self._width = int(model.num_feature)

    @classmethod
    def from_bytes(cls, data: bytes) -> "TreeliteScorer":
        """Load a compiled file; raises ValueError when it is none."""
        return cls(CompiledForm.from_bytes(data))

    @property
    def features(self) -> tuple[str, ...]:
        """The columns, in order."""
        return self._features

    def score(self, matrix: Matrix) -> Vector:
        """See `Scorer.score`."""
        if matrix.ndim != 2 or matrix.shape[1] != len(self._features):
            raise ValueError(f"a matrix of {len(self._features)} columns is needed, not of shape {matrix.shape}")
        if self._model is None:
            raise ValueError("the scorer is closed")
        rows = len(matrix)
        if self._cast is np.float32:
            with np.errstate(over="ignore"):
                matrix = matrix.astype(np.float32)
        data = np.ascontiguousarray(matrix[:, : self._width], dtype=self._type)
        out = np.zeros((rows, self._outputs), self._type)
        code = LIBRARY.TreeliteGTILPredict(
            self._model.handle,
            ctypes.c_void_p(data.ctypes.data),
            self._type_name,
            ctypes.c_uint64(rows),
            ctypes.c_void_p(out.ctypes.data),
            self._config.handle,
        )
        if code != 0:
            raise ValueError(LIBRARY.TreeliteGetLastError().decode(errors="replace"))
        result: Vector = out[:, -1].astype(np.float64, copy=False)
        return _squared_odds(result) if self._exponential else result

    def close(self) -> None:
        """Drop the trees."""
        self._model = None


def _outputs_per_row(model: treelite.Model) -> int:
    sample = np.zeros((1, max(1, int(model.num_feature))), model.input_type)
    size = int(treelite.gtil.predict(model, sample, nthread=1).size)
    if size not in (1, 2):
        raise ValueError(f"the trees give {size} values per row; a probability or a price is one")
    return size


def _squared_odds(p: Vector) -> Vector:
    yes, no = p * p, (1.0 - p) * (1.0 - p)
    return yes / (yes + no)
