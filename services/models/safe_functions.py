"""What an uploaded pickle may call: functions that make plain parts, each with a check of its arguments.

All raise ValueError or TypeError for arguments that no honest file has.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn._loss import _loss as losses
from sklearn.tree._tree import Tree

from services.models.safe_arrays import array_from_buffer, dtype_of, empty_array, scalar

PLAIN_LOSSES = (
    *("CyAbsoluteError", "CyExponentialLoss", "CyHalfBinomialLoss"),
    *("CyHalfGammaLoss", "CyHalfPoissonLoss", "CyHalfSquaredError"),
)
LOSSES_WITH_A_NUMBER = ("CyHuberLoss", "CyPinballLoss", "CyHalfTweedieLoss", "CyHalfTweedieLossIdentity")
STEP_LOSSES = ("EpsilonInsensitive", "Hinge", "ModifiedHuber", "SquaredEpsilonInsensitive", "SquaredHinge")

MAX_FEATURES = 10_000
PLAIN = (int, float, str, bool)


class Function:
    """Stands for a permitted function: REDUCE asks `make`, and nothing in the loaded object can call it."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make


class Inert:
    """Stands for what inference never asks: random generators, scores of features, search trees that are built anew."""


def functions() -> dict[tuple[str, str], Function]:
    """Functions that a file may REDUCE."""
    found: dict[tuple[str, str], Callable[..., Any]] = {
        ("_codecs", "encode"): _latin1,
        ("builtins", "bytes"): _no_bytes,
        ("builtins", "bytearray"): _copy_of_bytes,
        ("builtins", "set"): _set,
        ("builtins", "frozenset"): _set,
        ("builtins", "slice"): _slice,
        ("collections", "OrderedDict"): _dict,
        ("collections", "defaultdict"): _dict,
        ("numpy", "dtype"): dtype_of,
        ("numpy._core.multiarray", "_reconstruct"): empty_array,
        ("numpy._core.multiarray", "scalar"): scalar,
        ("numpy._core.numeric", "_frombuffer"): array_from_buffer,
        ("numpy.random._pickle", "__bit_generator_ctor"): _inert,
        ("numpy.random._pickle", "__generator_ctor"): _inert,
        ("numpy.random._pickle", "__randomstate_ctor"): _inert,
        ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"): _inert,
        ("sklearn.metrics._dist_metrics", "newObj"): _inert,
        ("sklearn.neighbors._ball_tree", "newObj"): _inert,
        ("sklearn.neighbors._kd_tree", "newObj"): _inert,
        ("sklearn.tree._tree", "Tree"): _tree,
        **{("sklearn._loss._loss", name): _plain_loss(name) for name in PLAIN_LOSSES},
        **{("sklearn._loss._loss", name): _numbered_loss(name) for name in LOSSES_WITH_A_NUMBER},
        **{("sklearn.linear_model._sgd_fast", name): _inert for name in STEP_LOSSES},
    }
    return {name: Function(make) for name, make in found.items()}


def _latin1(text: str, encoding: str) -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise ValueError("only text in latin1 may be encoded")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _copy_of_bytes(data: object = b"", encoding: object = "latin-1") -> bytearray:
    """Protocol 2 writes the bytes as text."""
    if type(data) is str and encoding in ("latin1", "latin-1"):
        return bytearray(data.encode("latin1"))
    if type(data) is not bytes:
        raise ValueError("a bytearray is made of bytes")
    return bytearray(data)


def _set(items: Sequence[Any] = ()) -> set[Any]:
    if type(items) is not list or not all(type(item) in PLAIN for item in items):
        raise ValueError("a set holds plain values")
    return set(items)


def _slice(*ends: object) -> slice:
    if len(ends) != 3 or not all(end is None or type(end) in (int, str) for end in ends):
        raise ValueError("a slice has three ends that are numbers or names")
    return slice(*ends)


def _dict(*made_of: object) -> dict[Any, Any]:
    """Ordered and defaulting dictionaries are read as plain ones; their items follow."""
    if len(made_of) > 1 or not all(isinstance(part, Function | type) or part in (None, []) for part in made_of):
        raise ValueError("a dictionary is begun empty")
    return {}


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
        return getattr(losses, name)()

    return make


def _numbered_loss(name: str) -> Callable[[float], Any]:
    def make(number: float) -> Any:
        return getattr(losses, name)(float(number))

    return make
