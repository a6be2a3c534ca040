"""XGBoost's and LightGBM's boosters: restored by the libraries' own readers, in the confined child only, and checked.

Their forms are checked before their readers see them, as those trust every size and index.
All functions raise ValueError for what no honest booster is.
"""

import json
from collections.abc import Iterator
from typing import Any

import lightgbm
import numpy as np
import treelite
import xgboost

from services.models.booster_form import Split, check_learner, check_xgboost, tree_count
from services.models.booster_text import MAX_FEATURES, check_lightgbm, splits

PLAIN = (bool, int, float, str, type(None))
XGBOOST_STATE = {"handle", "best_iteration", "best_score", "feature_names", "feature_types", "_train_called"}
LIGHTGBM_STATE = {
    *("_handle", "_network", "_train_data_name", "best_iteration", "best_score", "name_valid_sets", "params"),
    *("pandas_categorical", "train_set_version", "_Booster__need_reload_eval_info", "_Booster__num_dataset"),
    *("_Booster__set_objective_to_none", "_Booster__init_predictor", "_Booster__num_class"),
    *("_Booster__inner_predict_buffer", "_Booster__is_predicted_cur_iter", "_Booster__num_inner_eval"),
    *("_Booster__name_inner_eval", "_Booster__higher_better_inner_eval"),
}


def restore_xgboost(target: Any, state: object) -> None:
    """BUILD of a `xgboost.Booster`: XGBoost's own reader, over bytes."""
    if type(state) is not dict or not state.keys() <= XGBOOST_STATE or type(state.get("handle")) is not bytearray:
        raise ValueError("a booster has other parts than XGBoost's")
    check_xgboost(state["handle"])
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
        xgboost_splits(booster)
    else:
        check_lightgbm(booster.model_to_string(num_iteration=-1))


def xgboost_splits(booster: Any) -> tuple[list[Split], int]:
    """(feature, threshold) of each split, checked on the way, and how many trees there are (0: a linear booster)."""
    if getattr(booster, "handle", None) is None:
        raise ValueError("the booster is not fitted")
    width = booster.num_features()
    if not 1 <= width <= MAX_FEATURES:
        raise ValueError("a booster has 1 to 10,000 features")
    learner = json.loads(booster.save_raw("json"))["learner"]
    return check_learner(learner, width), tree_count(learner)


def lightgbm_splits(booster: Any) -> Iterator[Split]:
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
