"""What an uploaded pickle may name, put together from `permitted.py` and `safe_functions.py`; all else is refused."""

import re
from typing import Any

import numpy as np
from sklearn.tree._tree import Tree

from services.models import permitted
from services.models.safe_arrays import ArrayWrapper
from services.models.safe_functions import Function, Inert, functions

TREES: tuple[type, ...] = tuple(permitted.load(permitted.TREES).values())
XGBOOST: tuple[type, ...] = tuple(permitted.load(permitted.XGBOOST).values())
LIGHTGBM: tuple[type, ...] = tuple(permitted.load(permitted.LIGHTGBM).values())
BOOSTERS: tuple[type, ...] = tuple(permitted.load(permitted.BOOSTERS).values())
OTHERS: tuple[type, ...] = tuple(permitted.load(permitted.OTHERS).values())
PARTS: tuple[type, ...] = tuple(permitted.load(permitted.PARTS).values())

MODELS = (*TREES, *XGBOOST, *LIGHTGBM, *BOOSTERS, *OTHERS)
HOLDERS = frozenset((*XGBOOST, *LIGHTGBM, *OTHERS, *PARTS))  # whose attributes hold further estimators

WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
ARRAY_FUNCTION = ("scipy._lib.array_api_compat.numpy._aliases", "asarray")  # in splines, which are built anew


def _classes() -> dict[tuple[str, str], type]:
    return {(kind.__module__, kind.__qualname__): kind for kind in (*MODELS, *PARTS)}


def _constants() -> dict[tuple[str, str], Any]:
    plain = (bool, dict, float, int, list, object, str, tuple)
    return {
        **{("builtins", kind.__name__): kind for kind in plain},
        ("numpy", "ndarray"): np.ndarray,
        **{("numpy", name): getattr(np, name) for name in permitted.NUMPY.split() if hasattr(np, name)},
        **{("numpy", name): getattr(np, name) for name in permitted.UFUNCS.split()},
        **dict.fromkeys(permitted.load(permitted.UNUSED), Inert),
        ARRAY_FUNCTION: Inert,
    }


CLASSES = _classes()  # of which a file may make an instance and BUILD it
CONSTANTS = _constants()  # which a file may name but not call
FUNCTIONS = functions()  # which a file may REDUCE
BUILDABLE = frozenset(CLASSES.values()) | {Inert, Tree, np.ndarray, ArrayWrapper}


def found(module: str, name: str) -> Any:
    """What stands for a name of a file, or None."""
    key = renamed(module, name)
    if key == WRAPPER:
        return ArrayWrapper
    return CLASSES.get(key) or FUNCTIONS.get(key) or CONSTANTS.get(key)


def renamed(module: str, name: str) -> tuple[str, str]:
    """Where older versions of Python and NumPy had what is elsewhere now."""
    module = re.sub(r"^numpy\.core\b", "numpy._core", module)
    return ("builtins" if module == "__builtin__" else module), name


def elsewhere(module: str, name: str) -> str | None:
    """The permitted class of the same library and name in another place: the file is of another version of it."""
    package = module.partition(".")[0]
    for where, known in CLASSES:
        if known == name and where.partition(".")[0] == package and where != module:
            return f"{where}.{known}"
    return None


__all__ = ["BUILDABLE", "CLASSES", "CONSTANTS", "FUNCTIONS", "Function", "Inert"]
