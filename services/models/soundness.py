"""Looks at every part of a loaded model that native code will rely on, however deep, before anything is asked of it.

All functions raise ValueError for parts that do not fit together.
"""

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import scipy.sparse
import xgboost
from scipy.interpolate import BSpline
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.neighbors import (
    BallTree,
    KDTree,
    KNeighborsClassifier,
    KNeighborsRegressor,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC, SVR, NuSVC, NuSVR
from sklearn.tree._tree import Tree

from services.models import kinds
from services.models.boosters import check_booster
from services.models.safe_types import HOLDERS, TREES
from services.models.trees import check_tree_state

DEEPEST = 100
MOST_PARTS = 1_000_000
METRICS = {
    *("euclidean", "l2", "manhattan", "l1", "cityblock", "chebyshev", "minkowski", "seuclidean"),
    *("canberra", "braycurtis", "hamming", "cosine"),
}


def check_within(loaded: object) -> None:
    """Check each estimator, tree, spline and sparse matrix that an object holds, once each."""
    met: set[int] = set()
    waiting = [(loaded, 0)]
    while waiting:
        part, depth = waiting.pop()
        if id(part) in met or not _holds(part):
            continue
        met.add(id(part))
        if depth > DEEPEST or len(met) > MOST_PARTS:
            raise ValueError("the model is nested too deeply or has too many parts")
        _check(part)
        waiting += [(inner, depth + 1) for inner in _parts_of(part)]


def _holds(part: object) -> bool:
    kinds_of_holders = (list, tuple, set, dict, np.ndarray, Tree, BSpline, BaseEstimator)
    return isinstance(part, kinds_of_holders) or type(part) in CHECKS or type(part) in HOLDERS


def _check(part: Any) -> None:
    if isinstance(part, BaseEstimator) and "n_jobs" in vars(part):
        part.n_jobs = 1  # threads cannot be started where this runs, nor would they help
    if type(part) in TREES:
        if not kinds.FITTED_PARTS.isdisjoint(vars(part)):  # an ensemble also keeps the unfitted one that it copied
            kinds.check(part)
        return
    check = CHECKS.get(type(part))
    if check is not None:
        check(part)


def _parts_of(holder: Any) -> list[Any]:
    if isinstance(holder, dict):
        return list(holder.values())
    if isinstance(holder, list | tuple | set):
        return list(holder)
    if isinstance(holder, np.ndarray):
        return list(holder.ravel()) if holder.dtype.kind == "O" else []
    return list(vars(holder).values()) if type(holder) in HOLDERS or type(holder) in TREES else []


def _check_tree(tree: Any) -> None:
    check_tree_state(tree, tree.__getstate__())


def _check_neighbours(estimator: Any) -> None:
    """The search tree of the file is not used; the same one is grown from the points again."""
    state = vars(estimator)
    if "_fit_method" not in state:
        return
    points, metric = state.get("_fit_X"), state.get("effective_metric_")
    if type(metric) is not str or metric not in METRICS:
        raise ValueError(f"distances by {str(metric)[:50]} are not taken")
    dense = type(points) is np.ndarray and points.ndim == 2 and points.dtype.kind in "iuf"
    if not dense and not (scipy.sparse.issparse(points) and state["_fit_method"] == "brute"):
        raise ValueError("the neighbours are no table of numbers")
    if state["_fit_method"] == "brute":
        estimator._tree = None
        return
    grow = {"kd_tree": KDTree, "ball_tree": BallTree}.get(state["_fit_method"])
    if grow is None or type(estimator.leaf_size) is not int:
        raise ValueError("the neighbours are searched in a way that is not known")
    estimator._tree = grow(points, estimator.leaf_size, metric=metric, **state.get("effective_metric_params_") or {})


def _check_support_vectors(machine: Any) -> None:
    """What libsvm takes over without comparing sizes."""
    state = vars(machine)
    if "support_vectors_" not in state:
        return
    vectors, counts, weights = state["support_vectors_"], state.get("_n_support"), state.get("_dual_coef_")
    if state.get("_sparse") or not all(type(part) is np.ndarray for part in (vectors, counts, weights)):
        raise ValueError("support vectors over sparse tables are not taken")
    rows = 2 if isinstance(machine, SVC | NuSVC) else 1
    fits = (
        vectors.ndim == 2
        and vectors.shape[1] == state.get("n_features_in_")
        and counts.shape == (2,)
        and counts.min() >= 0
        and (rows == 1 or int(counts.sum()) == len(vectors))
        and weights.shape == (1, len(vectors))
        and np.asarray(state.get("support_")).shape == (len(vectors),)
        and np.asarray(state.get("_intercept_")).shape == (1,)
    )
    if not fits:
        raise ValueError("the support vectors and their weights have different sizes")
    if type(machine.kernel) is not str:
        raise ValueError("a kernel that is code is not taken")


def _check_sparse(matrix: Any) -> None:
    matrix.check_format(full_check=True)


def _check_spline(spline: Any) -> None:
    """Made anew by the library, which compares its sizes."""
    state = vars(spline)
    made = BSpline(np.asarray(state["_t"], float), np.asarray(state["_c"], float), int(state["k"]))
    made.extrapolate, made.axis = state["extrapolate"], int(state["axis"])
    spline.__dict__ = vars(made)


def _check_functions(step: Any) -> None:
    """Element-wise functions of NumPy only; the file's own would not have been loaded, a class would have."""
    for name in ("func", "inverse_func"):
        function = vars(step).get(name)
        if function is not None and type(function) is not np.ufunc:
            raise ValueError(f"a {type(step).__name__} here takes NumPy's element-wise functions only")


CHECKS: dict[type, Callable[[Any], None]] = {
    Tree: _check_tree,
    xgboost.Booster: check_booster,
    lightgbm.Booster: check_booster,
    BSpline: _check_spline,
    FunctionTransformer: _check_functions,
    TransformedTargetRegressor: _check_functions,
    **dict.fromkeys((SVC, NuSVC, SVR, NuSVR), _check_support_vectors),
    **dict.fromkeys(
        (KNeighborsClassifier, KNeighborsRegressor, RadiusNeighborsClassifier, RadiusNeighborsRegressor),
        _check_neighbours,
    ),
    **dict.fromkeys(
        (*(scipy.sparse.csr_matrix, scipy.sparse.csr_array, scipy.sparse.csc_matrix, scipy.sparse.csc_array),),
        _check_sparse,
    ),
}
