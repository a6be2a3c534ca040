"""Checks XGBoost's form of a booster before XGBoost reads it: its own reader trusts the sizes and indices it finds.

All functions raise ValueError. Of the form: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from services.models import ubjson
from services.models.booster_text import MAX_FEATURES, MAX_TREES

Part = dict[str, Any]
Split = tuple[int, float]

PER_NODE = (
    *("left_children", "right_children", "split_indices", "split_conditions", "default_left"),
    *("base_weights", "loss_changes", "parents", "split_type", "sum_hessian"),
)
NO_PARENT = (2**31 - 1, -1)  # the root's, as XGBoost writes it
NEEDED = 5  # of them, which every version writes


def check_xgboost(data: bytes | bytearray) -> None:
    """The bytes of a pickled booster."""
    whole = ubjson.read(data)
    try:
        model, config = whole["Model"]["learner"], whole["Config"]["learner"]
        width = _whole(model["learner_model_param"], "num_feature", 1, MAX_FEATURES)
        for part in (model, config):
            _check_outputs(part["learner_model_param"], width)
        check_learner(model, width)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"a booster has other parts than XGBoost's ({type(error).__name__}: {error})") from error


def check_learner(learner: Part, width: int) -> list[Split]:
    """(feature, threshold) of each split, checked on the way; of the binary form and of the JSON form alike."""
    booster = learner["gradient_booster"]
    if any(kind == "c" for kind in learner.get("feature_types") or ()):
        raise ValueError("a booster over categories is not taken: features here are numbers")
    if booster["name"] == "gblinear":
        if len(booster["model"]["weights"]) != width + 1:
            raise ValueError("a linear booster has another number of weights than features")
        return []
    if booster["name"] not in ("gbtree", "dart"):
        raise ValueError("a booster is of a kind that XGBoost does not have")
    model = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
    trees = model["trees"]
    _check_counts(model, len(trees))
    if booster["name"] == "dart" and len(booster["weight_drop"]) != len(trees):
        raise ValueError("a booster has another number of weights than trees")
    return [split for tree in trees for split in _splits(tree, width)]


def tree_count(learner: Part) -> int:
    """How many trees a checked learner has; 0 of a linear one."""
    booster = learner["gradient_booster"]
    model = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
    return len(model.get("trees", ()))


def _check_counts(model: Part, trees: int) -> None:
    if not 1 <= trees <= MAX_TREES or _whole(model["gbtree_model_param"], "num_trees", 1, MAX_TREES) != trees:
        raise ValueError(f"a booster has 1 to {MAX_TREES:,} trees, and says how many")
    if [int(place) for place in model["tree_info"]] != [0] * trees:
        raise ValueError("a booster here has one output")
    rounds = [int(place) for place in model.get("iteration_indptr", [0, trees])]
    if rounds[0] != 0 or rounds[-1] != trees or any(later < sooner for sooner, later in pairwise(rounds)):
        raise ValueError("a booster's rounds are not those of its trees")


def _check_outputs(parameters: Part, width: int) -> None:
    """One output, of as many features as the trees are checked for."""
    if _whole(parameters, "num_feature", 1, MAX_FEATURES) != width:
        raise ValueError("a booster says twice how many features it has, differently")
    if _whole(parameters, "num_class", 0, 100) > 1 or _whole({"n": parameters.get("num_target", "1")}, "n", 0, 100) > 1:
        raise ValueError("a booster here has one output")


def _splits(tree: Part, width: int) -> list[Split]:
    """Walk from the root; every node is met once at most, so the walk ends."""
    count = _whole(tree["tree_param"], "num_nodes", 1, 2**31 - 1)
    if any(len(tree[name]) != count for name in PER_NODE[:NEEDED]):
        raise ValueError("a tree's parts have other sizes than its nodes")
    if any(len(tree[name]) not in (0, count) for name in PER_NODE[NEEDED:] if name in tree):
        raise ValueError("a tree's parts have other sizes than its nodes")
    if np.any(tree.get("split_type", [])) or len(tree.get("categories", [])) or len(tree.get("categories_nodes", [])):
        raise ValueError("a tree splits by categories, and features here are numbers")
    if tree["tree_param"].get("size_leaf_vector", "0") not in ("0", "1"):
        raise ValueError("a booster here has one output")
    if not np.isfinite(np.asarray(tree["split_conditions"], float)).all():
        raise ValueError("a tree has a threshold or a value that is no number")
    _check_parents(tree, count)
    return _walk([np.asarray(tree[name]).tolist() for name in PER_NODE[:4]], width)


def _check_parents(tree: Part, count: int) -> None:
    """XGBoost goes up by these when it reads; a node that nobody has for a child (cut away in training) has any."""
    parents = np.asarray(tree.get("parents", []), np.int64)
    if not len(parents):
        return
    for name in ("left_children", "right_children"):
        children = np.asarray(tree[name], np.int64)
        own = np.flatnonzero((children >= 0) & (children < count))
        if not np.array_equal(parents[children[own]], own):
            raise ValueError("a tree has a node that names another parent than its own")
    if np.any((parents[1:] < 0) | (parents[1:] >= count)) or parents[0] not in NO_PARENT:
        raise ValueError("a tree has a parent outside its nodes")


def _walk(parts: list[list[Any]], width: int) -> list[Split]:
    left, right, features, thresholds = parts
    met, waiting = {0}, [0]
    found: list[Split] = []
    while waiting:
        node = waiting.pop()
        if left[node] == right[node] == -1:
            continue
        if not 0 <= features[node] < width:
            raise ValueError(f"a tree splits by a feature outside the {width} it has")
        for child in (left[node], right[node]):
            if not 0 <= child < len(left) or child in met:
                raise ValueError("a tree has a child outside its nodes or with two parents")
            met.add(child)
            waiting.append(child)
        found.append((features[node], thresholds[node]))
    return found


def _whole(fields: Part, name: str, low: int, high: int) -> int:
    text = str(fields[name])
    if not text.isascii() or not text.isdigit() or len(text) > 10 or not low <= int(text) <= high:
        raise ValueError(f"a booster's {name} is {text[:40]!r}")
    return int(text)
