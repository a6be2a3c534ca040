"""XGBoost's and LightGBM's boosters: restored by the libraries' own readers, in the confined child only, and checked.

LightGBM's text is checked before its reader sees it. XGBoost's binary form is read first and checked in its JSON form
before anything walks a tree; a file that breaks the reader itself breaks the child and is refused for that.
All functions raise ValueError for what no honest booster is.
"""

import json
from collections.abc import Iterator
from typing import Any

import lightgbm
import numpy as np
import treelite
import xgboost

from services.models.booster_text import MAX_FEATURES, MAX_TREES, check_lightgbm, splits

PLAIN = (bool, int, float, str, type(None))
XGBOOST_STATE = {"handle", "best_iteration", "best_score", "feature_names", "feature_types", "_train_called"}
LIGHTGBM_STATE = {
    *("_handle", "_network", "_train_data_name", "best_iteration", "best_score", "name_valid_sets", "params"),
    *("pandas_categorical", "train_set_version", "_Booster__need_reload_eval_info", "_Booster__num_dataset"),
    *("_Booster__set_objective_to_none", "_Booster__init_predictor", "_Booster__num_class"),
    *("_Booster__inner_predict_buffer", "_Booster__is_predicted_cur_iter", "_Booster__num_inner_eval"),
    *("_Booster__name_inner_eval", "_Booster__higher_better_inner_eval"),
}

Tree = dict[str, Any]


def restore_xgboost(target: Any, state: object) -> None:
    """BUILD of a `xgboost.Booster`: XGBoost's own reader, over bytes."""
    if type(state) is not dict or not state.keys() <= XGBOOST_STATE or type(state.get("handle")) is not bytearray:
        raise ValueError("a booster has other parts than XGBoost's")
    xgboost.Booster.__setstate__(target, state)
    target.set_param({"nthread": 1, "device": "cpu"})


def restore_lightgbm(target: Any, state: object) -> None:
    """BUILD of a `lightgbm.Booster`: LightGBM's own reader, over checked text."""
    if type(state) is not dict or not state.keys() <= LIGHTGBM_STATE or type(state.get("_handle")) is not str:
        raise ValueError("a booster has other parts than LightGBM's")
    if state.get("_network") is not False or state.get("pandas_categorical") not in (None, []):
        raise ValueError("a booster over a network or over categories is not taken")
    if type(state.get("best_iteration")) is not int:
        raise ValueError("a booster's best iteration is no number")
    check_lightgbm(state["_handle"])
    try:
        lightgbm.Booster.__setstate__(target, {**state, "best_score": {}, "params": {}, "name_valid_sets": []})
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(str(error)) from error


def check_booster(booster: Any) -> None:
    """A booster inside another model, or on its own."""
    if type(booster) is xgboost.Booster:
        list(xgboost_splits(booster))
    else:
        check_lightgbm(booster.model_to_string(num_iteration=-1))


def xgboost_splits(booster: Any) -> Iterator[tuple[int, float]]:
    """(feature, threshold) of each split, checked on the way."""
    width = booster.num_features()
    if not 1 <= width <= MAX_FEATURES:
        raise ValueError("a booster has 1 to 10,000 features")
    if any(kind == "c" for kind in booster.feature_types or ()):
        raise ValueError("a booster over categories is not taken: features here are numbers")
    if hasattr(booster, "handle") and booster.handle is None:
        raise ValueError("the booster is not fitted")
    for tree in xgboost_trees(booster):
        yield from _checked_splits(tree, width)


def xgboost_trees(booster: Any) -> list[Tree]:
    """The trees in JSON's form; none for a linear booster."""
    inner = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
    model = inner.get("gbtree", inner)["model"]
    trees: list[Tree] = model.get("trees", [])
    if len(trees) > MAX_TREES:
        raise ValueError(f"a booster has at most {MAX_TREES:,} trees")
    return trees


def _checked_splits(tree: Tree, width: int) -> list[tuple[int, float]]:
    """Walk from the root; every node is met once at most, so the walk ends."""
    left, right = tree["left_children"], tree["right_children"]
    features, thresholds = tree["split_indices"], tree["split_conditions"]
    count = len(left)
    if not count or any(len(part) != count for part in (right, features, thresholds, tree["default_left"])):
        raise ValueError("a tree's parts have other sizes than its nodes")
    if any(tree.get("split_type") or ()):
        raise ValueError("a tree splits by categories, and features here are numbers")
    if tree["tree_param"]["size_leaf_vector"] not in ("0", "1"):
        raise ValueError("a booster here has one output")
    met, waiting, found = {0}, [0], []
    while waiting:
        node = waiting.pop()
        if not np.isfinite(thresholds[node]):
            raise ValueError("a tree has a threshold or a value that is no number")
        if left[node] == right[node] == -1:
            continue
        if not 0 <= features[node] < width:
            raise ValueError(f"a tree splits by a feature outside the {width} it has")
        for child in (left[node], right[node]):
            if not 0 <= child < count or child in met:
                raise ValueError("a tree has a child outside its nodes or with two parents")
            met.add(child)
            waiting.append(child)
        found.append((features[node], thresholds[node]))
    return found


def lightgbm_splits(booster: Any) -> Iterator[tuple[int, float]]:
    """(feature, threshold) of each split."""
    return splits(booster.model_to_string(num_iteration=-1))


def xgboost_objective(booster: Any) -> str:
    """As XGBoost names it."""
    return str(json.loads(booster.save_raw("json"))["learner"]["objective"]["name"])


def lightgbm_objective(booster: Any) -> str:
    """As LightGBM names it, without its parameters."""
    for line in booster.model_to_string(num_iteration=1).split("\n", 20):
        if line.startswith("objective="):
            return str(line.removeprefix("objective=").split(" ")[0])
    return ""


def compile_xgboost(booster: Any) -> bytes:
    """Treelite's serialized form; raises `treelite.TreeliteError` for what it cannot take (a linear booster)."""
    inner = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["name"]
    if inner not in ("gbtree", "dart"):
        raise NotImplementedError(f"a booster of the kind {inner} has no trees")
    form: bytes = treelite.frontend.from_xgboost(booster).serialize_bytes()
    return form


def compile_lightgbm(booster: Any) -> bytes:
    """Treelite's serialized form, of the best iterations where training stopped early."""
    form: bytes = treelite.frontend.from_lightgbm(booster).serialize_bytes()
    return form


def gains(booster: Any, width: int) -> Any:
    """float64[width]: what each feature's splits gained in total."""
    if type(booster) is lightgbm.Booster:
        return np.asarray(booster.feature_importance("gain"), float)
    names = booster.feature_names or [f"f{place}" for place in range(width)]
    scores = booster.get_score(importance_type="total_gain")
    return np.array([float(scores.get(name, 0.0)) for name in names])
