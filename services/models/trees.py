"""Checks a tree's arrays before any library walks them: a corrupt index crashes or never ends.

All functions raise ValueError. A child always stands behind its parent and has one parent only, as in every tree that
scikit-learn grows; so a walk ends and stays within the arrays.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAF = -1
MAX_NODES = 50_000_000

Array = np.ndarray[Any, Any]
Indices = NDArray[np.int64]


def check_tree_state(tree: Any, state: object) -> None:
    """The state of scikit-learn's `Tree`, which it takes over without looking at the indices."""
    if type(state) is not dict or state.keys() != {"max_depth", "node_count", "nodes", "values"}:
        raise ValueError("a tree has other parts than scikit-learn's")
    nodes, values = state["nodes"], state["values"]
    if not _is_array(nodes, 1) or nodes.dtype.names is None or "left_child" not in nodes.dtype.names:
        raise ValueError("a tree's nodes are not an array of nodes")
    count = state["node_count"]
    if type(count) is not int or count != len(nodes) or not 1 <= count <= MAX_NODES:
        raise ValueError(f"a tree says it has {count} nodes and has {len(nodes)}")
    if not _is_array(values, 3) or values.shape != (count, 1, int(tree.max_n_classes)):
        raise ValueError("a tree's values have another shape than its nodes")
    if type(state["max_depth"]) is not int or not 0 <= state["max_depth"] <= count:
        raise ValueError("a tree's depth is impossible")
    left, right = nodes["left_child"].astype(np.int64), nodes["right_child"].astype(np.int64)
    leaf = left == LEAF
    if not np.array_equal(leaf, right == LEAF):
        raise ValueError("a tree has a node with one child")
    _check_links(left, right, ~leaf)
    _check_splits(nodes["feature"][~leaf], nodes["threshold"][~leaf], int(tree.n_features))
    if not np.isfinite(values).all():
        raise ValueError("a tree has a value that is no number")


def check_predictor(predictor: Any, n_features: int) -> None:
    """The nodes of one tree of histogram boosting."""
    nodes = vars(predictor).get("nodes")
    if not _is_array(nodes, 1) or nodes.dtype.names is None or "feature_idx" not in nodes.dtype.names:
        raise ValueError("a tree's nodes are not an array of nodes")
    if not 1 <= len(nodes) <= MAX_NODES:
        raise ValueError("a tree has no nodes")
    leaf = nodes["is_leaf"] != 0
    _check_links(nodes["left"].astype(np.int64), nodes["right"].astype(np.int64), ~leaf)
    _check_splits(nodes["feature_idx"][~leaf], nodes["num_threshold"][~leaf], n_features)
    if nodes["is_categorical"].any():
        raise ValueError("a tree splits by categories, and features here are numbers")
    if not np.isfinite(nodes["value"][leaf]).all():
        raise ValueError("a tree has a value that is no number")


def _check_links(left: Indices, right: Indices, inner: NDArray[np.bool_]) -> None:
    places = np.flatnonzero(inner)
    children = np.concatenate([left[inner], right[inner]])
    if np.any(children <= np.concatenate([places, places])) or np.any(children >= len(left)):
        raise ValueError("a tree has a child outside its nodes or before its parent")
    if len(np.unique(children)) != len(children) or len(children) != len(left) - 1:
        raise ValueError("a tree has a node with two parents or none")


def _check_splits(features: Array, thresholds: Array, n_features: int) -> None:
    if np.any(features < 0) or np.any(features >= n_features):
        raise ValueError(f"a tree splits by a feature outside the {n_features} it has")
    if np.isnan(thresholds).any():
        raise ValueError("a tree has a threshold that is no number")


def _is_array(value: object, dimensions: int) -> bool:
    return type(value) is np.ndarray and value.ndim == dimensions
