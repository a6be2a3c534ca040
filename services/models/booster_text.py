"""Checks LightGBM's text form of a model before LightGBM reads it: its own reader trusts every index.

All functions raise ValueError. Of the form: https://github.com/microsoft/LightGBM/blob/master/src/io/tree.cpp.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MAX_TREES = 100_000
MAX_LEAVES = 131_072
MAX_FEATURES = 10_000
LINES = 400  # of one tree's or the head's part; LightGBM writes some twenty
INDICES = ("split_feature", "left_child", "right_child", "decision_type")

Fields = dict[str, str]
Integers = NDArray[np.int64]


def check_lightgbm(text: str) -> int:
    """Number of trees; raises ValueError for what LightGBM would not have written."""
    if not text.startswith("tree\n") or "\x00" in text:
        raise ValueError("the booster is not LightGBM's text")
    head, trees = _parts(text)
    width = _whole(head, "max_feature_idx", 0, MAX_FEATURES - 1) + 1
    if _whole(head, "num_class", 1, 100) != 1 or _whole(head, "num_tree_per_iteration", 1, 100) != 1:
        raise ValueError("a booster here has one output")
    if len(head.get("feature_names", "").split(" ")) != width:
        raise ValueError("a booster names another number of features than it has")
    if not 1 <= len(trees) <= MAX_TREES:
        raise ValueError(f"a booster has 1 to {MAX_TREES:,} trees")
    for tree in trees:
        _check_tree(tree, width)
    return len(trees)


def _parts(text: str) -> tuple[Fields, list[Fields]]:
    """The head's fields and each tree's."""
    end = text.find("end of trees")
    if end < 0:
        raise ValueError("a booster's text is cut off")
    blocks = text[:end].split("\nTree=")
    return _fields(blocks[0]), [_fields(block) for block in blocks[1:]]


def _fields(block: str) -> Fields:
    lines = block.split("\n")
    if len(lines) > LINES:
        raise ValueError("a booster's text has more lines than LightGBM writes")
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _check_tree(fields: Fields, width: int) -> None:
    leaves = _whole(fields, "num_leaves", 1, MAX_LEAVES)
    if fields.get("num_cat", "0") != "0":
        raise ValueError("a tree splits by categories, and features here are numbers")
    if fields.get("is_linear", "0") != "0":
        raise ValueError("trees with linear leaves are not taken")
    values = _numbers(fields, "leaf_value", leaves)
    if not np.isfinite(values).all():
        raise ValueError("a tree has a value that is no number")
    if leaves == 1:
        return
    if np.isnan(_numbers(fields, "threshold", leaves - 1)).any():
        raise ValueError("a tree has a threshold that is no number")
    indices = {name: _integers(fields, name, leaves - 1) for name in INDICES}
    if indices["split_feature"].min() < 0 or indices["split_feature"].max() >= width:
        raise ValueError(f"a tree splits by a feature outside the {width} it has")
    _check_links(indices["left_child"], indices["right_child"], leaves)


def _check_links(left: Integers, right: Integers, leaves: int) -> None:
    """A child ≥ 0 is a split, one below 0 the leaf `~child`; every one but the root has one parent, met before it."""
    children = np.concatenate([left, right])
    splits, places = children[children >= 0], ~children[children < 0]
    parents = np.concatenate([np.arange(len(left))] * 2)[children >= 0]
    sound = (
        np.array_equal(np.sort(splits), np.arange(1, len(left)))
        and np.array_equal(np.sort(places), np.arange(leaves))
        and bool((splits > parents).all())
    )
    if not sound:
        raise ValueError("a tree has a child outside its nodes, before its parent, or with two parents")


def splits(text: str) -> Iterator[tuple[int, float]]:
    """(feature, threshold) of each split of a checked text."""
    for tree in _parts(text)[1]:
        if tree["num_leaves"] != "1":
            count = int(tree["num_leaves"]) - 1
            features = _integers(tree, "split_feature", count).tolist()
            yield from zip(features, _numbers(tree, "threshold", count).tolist(), strict=True)


def _whole(fields: Fields, name: str, low: int, high: int) -> int:
    text = fields.get(name, "")
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not low <= int(text) <= high:
        raise ValueError(f"a booster's {name} is {text[:40]!r}")
    return int(text)


def _numbers(fields: Fields, name: str, count: int) -> NDArray[np.float64]:
    items = fields.get(name, "").split(" ")
    if len(items) != count:
        raise ValueError(f"a tree has {len(items)} of {name}, not {count}")
    return np.array([float(item) for item in items])


def _integers(fields: Fields, name: str, count: int) -> Integers:
    items = fields.get(name, "").split(" ")
    if len(items) != count:
        raise ValueError(f"a tree has {len(items)} of {name}, not {count}")
    return np.array([int(item) for item in items], np.int64)
