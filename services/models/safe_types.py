"""What an uploaded pickle may name, by exact module and name; everything else is refused.

Seeded from the types that skops trusts, cut to tree ensembles, linear models and what stands before them in a
pipeline, and widened by what skops leaves out because it cannot check it: `Tree` and `TreePredictor`, whose arrays
`trees.py` and `kinds.py` check.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn._loss import _loss as losses_c
from sklearn._loss import link as links
from sklearn._loss import loss as losses
from sklearn.calibration import CalibratedClassifierCV, _CalibratedClassifier, _SigmoidCalibration
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import ElasticNet, HuberRegressor, Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    LabelEncoder,
    MinMaxScaler,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.tree._tree import Tree

from services.models.safe_arrays import ArrayWrapper, array_from_buffer, dtype_of, empty_array, scalar

ESTIMATORS: tuple[type, ...] = (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

# Permitted as models too, but not compiled: they are scored in a confined child of their own.
OBJECTS: tuple[type, ...] = (
    *(LogisticRegression, LinearRegression, Ridge, Lasso, ElasticNet, HuberRegressor),
    *(CalibratedClassifierCV, IsotonicRegression, Pipeline),
)

PARTS: tuple[type, ...] = (
    *(DummyClassifier, DummyRegressor, LabelEncoder, _BinMapper, TreePredictor),
    *(StandardScaler, MinMaxScaler, RobustScaler, PolynomialFeatures, PowerTransformer, QuantileTransformer),
    *(SimpleImputer, FrozenEstimator, _CalibratedClassifier, _SigmoidCalibration),
    *(links.HalfLogitLink, links.IdentityLink, links.Interval, links.LogitLink, links.LogLink),
    *(losses.AbsoluteError, losses.ExponentialLoss, losses.HalfBinomialLoss, losses.HalfGammaLoss),
    *(losses.HalfPoissonLoss, losses.HalfSquaredError, losses.HuberLoss, losses.PinballLoss),
)

PLAIN_LOSSES = (
    *("CyAbsoluteError", "CyExponentialLoss", "CyHalfBinomialLoss"),
    *("CyHalfGammaLoss", "CyHalfPoissonLoss", "CyHalfSquaredError"),
)
LOSSES_WITH_A_NUMBER = ("CyHuberLoss", "CyPinballLoss")

BIT_GENERATORS = {"_mt19937": "MT19937", "_pcg64": "PCG64", "_philox": "Philox", "_sfc64": "SFC64"}

MAX_FEATURES = 10_000


class Function:
    """Stands for a permitted function: REDUCE asks `make`, and nothing in the loaded object can call it."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make


class Inert:
    """Stands for a random generator, which inference never asks."""


def classes() -> dict[tuple[str, str], type]:
    """Classes that a file may make an instance of and BUILD."""
    return {(kind.__module__, kind.__qualname__): kind for kind in (*ESTIMATORS, *OBJECTS, *PARTS)}


def constants() -> dict[tuple[str, str], type]:
    """Classes that a file may name but not call."""
    generators = {(f"numpy.random.{module}", name): Inert for module, name in BIT_GENERATORS.items()}
    return {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy.random.bit_generator", "SeedSequence"): Inert,
        **generators,
        **{("numpy", name): getattr(np, name) for name in ("float32", "float64", "int32", "int64", "bool_")},
    }


def functions() -> dict[tuple[str, str], Function]:
    """Functions that a file may REDUCE; each checks its arguments and raises ValueError or TypeError."""
    return {
        ("_codecs", "encode"): Function(_latin1),
        ("builtins", "bytes"): Function(_no_bytes),
        ("builtins", "bytearray"): Function(_copy_of_bytes),
        ("builtins", "set"): Function(_set),
        ("numpy", "dtype"): Function(dtype_of),
        ("numpy._core.multiarray", "_reconstruct"): Function(empty_array),
        ("numpy._core.multiarray", "scalar"): Function(scalar),
        ("numpy._core.numeric", "_frombuffer"): Function(array_from_buffer),
        ("numpy.random._pickle", "__bit_generator_ctor"): Function(_inert),
        ("numpy.random._pickle", "__generator_ctor"): Function(_inert),
        ("numpy.random._pickle", "__randomstate_ctor"): Function(_inert),
        ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"): Function(_inert),
        ("sklearn.tree._tree", "Tree"): Function(_tree),
        **{("sklearn._loss._loss", name): Function(_plain_loss(name)) for name in PLAIN_LOSSES},
        **{("sklearn._loss._loss", name): Function(_numbered_loss(name)) for name in LOSSES_WITH_A_NUMBER},
    }


def renamed(module: str, name: str) -> tuple[str, str]:
    """Where older versions of Python and NumPy had what is elsewhere now."""
    module = re.sub(r"^numpy\.core\b", "numpy._core", module)
    return ("builtins" if module == "__builtin__" else module), name


WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
BUILDABLE = frozenset(classes().values()) | {Inert, Tree, np.ndarray, ArrayWrapper}


def _latin1(text: str, encoding: str) -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise ValueError("only text in latin1 may be encoded")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _copy_of_bytes(data: bytes = b"") -> bytearray:
    if type(data) is not bytes:
        raise ValueError("a bytearray is made of bytes")
    return bytearray(data)


def _set(items: Sequence[Any] = ()) -> set[Any]:
    if type(items) is not list or not all(type(item) in (int, float, str, bool) for item in items):
        raise ValueError("a set holds plain values")
    return set(items)


def _inert(*_: object) -> Inert:
    return Inert()


def _tree(n_features: int, n_classes: Any, n_outputs: int) -> Tree:
    if type(n_features) is not int or not 1 <= n_features <= MAX_FEATURES or n_outputs != 1:
        raise ValueError("a tree has 1 to 10,000 features and one output")
    whole = isinstance(n_classes, np.ndarray) and n_classes.dtype == np.intp and n_classes.shape == (1,)
    if not whole or not 1 <= int(n_classes[0]) <= 100:
        raise ValueError("a tree has 1 to 100 classes")
    return Tree(n_features, n_classes.copy(), 1)


def _plain_loss(name: str) -> Callable[[], Any]:
    def make() -> Any:
        return getattr(losses_c, name)()

    return make


def _numbered_loss(name: str) -> Callable[[float], Any]:
    def make(number: float) -> Any:
        return getattr(losses_c, name)(float(number))

    return make
