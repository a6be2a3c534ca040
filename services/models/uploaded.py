"""What was uploaded, whatever its format: rows in, one number per row out; lives in the confined child."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import lightgbm
import numpy as np
import pandas as pd
import sklearn
import xgboost
from sklearn.base import is_classifier

from services.models import boosters, kinds
from services.models.importance import importance_of
from services.models.kinds import Checked
from services.models.safe_types import LIGHTGBM, TREES, XGBOOST

Matrix = np.ndarray[Any, Any]
Gives = Literal["probability", "classes", "value", "either"]

FOREIGN = (lightgbm.basic.LightGBMError,)  # not among Python's own kinds of errors

LARGEST = float(np.finfo(np.float32).max)
VERSIONS = {"sklearn": sklearn.__version__, "xgboost": xgboost.__version__, "lightgbm": lightgbm.__version__}


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A model that was read and is sound in its parts.

    `predict` takes float64[n, width] and gives float64[n]; it raises what its library raises. `gives` "either" is said
    of a graph with one number per row, which may be a probability or a price.
    """

    estimator: str  # the class, module and name
    width: int
    names: list[str] | None  # that it was fitted with
    gives: Gives
    classes: list[Any] | None
    predict: Callable[[Matrix], Any]
    trees: Checked | None  # None: there is nothing to compile
    importance: Callable[[list[str]], dict[str, float] | None]


def within_float32(rows: Matrix) -> Matrix:
    """What has no float32 becomes the largest there is, as libraries over float32 refuse infinity; NaN stays."""
    return np.clip(rows, -LARGEST, LARGEST)


def from_object(loaded: Any) -> Uploaded:
    """Of an estimator or booster whose parts were checked; raises what its library raises where it is not fitted."""
    if isinstance(loaded, xgboost.Booster | lightgbm.Booster):
        return _of_booster(loaded)
    names = _fitted_names(loaded)
    probability = hasattr(loaded, "predict_proba")
    classifier = probability or is_classifier(loaded)

    narrow = type(loaded) in XGBOOST

    def predict(rows: Matrix) -> Any:
        rows = within_float32(rows) if narrow else rows
        table = rows if names is None else pd.DataFrame(rows, columns=names)
        try:
            return kinds.predict(loaded, table)
        except FOREIGN as error:
            raise ValueError(str(error)) from error

    return Uploaded(
        estimator=f"{type(loaded).__module__}.{type(loaded).__qualname__}",
        width=int(loaded.n_features_in_),
        names=names,
        gives="probability" if probability else "classes" if classifier else "value",
        classes=np.asarray(loaded.classes_).tolist() if classifier else None,
        predict=predict,
        trees=_trees_of(loaded),
        importance=lambda features: importance_of(loaded, features),
    )


def _fitted_names(loaded: Any) -> list[str] | None:
    fitted = getattr(loaded, "feature_names_in_", None)
    return [str(name) for name in fitted] if isinstance(fitted, np.ndarray) and fitted.ndim == 1 else None


def _trees_of(loaded: Any) -> Checked | None:
    if type(loaded) in TREES:
        return kinds.check(loaded)
    if type(loaded) in XGBOOST:
        booster = loaded.get_booster()
        best = booster.attr("best_iteration")  # what the library itself predicts with, where training stopped early
        used = booster if best is None else booster[: int(best) + 1]
        obstacle = "" if np.isnan(loaded.missing) else "a value of its own for what is missing is not compiled"
        return _of_xgboost(loaded, used, obstacle)
    if type(loaded) in LIGHTGBM:
        return _of_lightgbm(loaded, loaded.booster_)
    return None


def _of_xgboost(estimator: Any, booster: Any, obstacle: str = "") -> Checked:
    splits, trees = boosters.xgboost_splits(booster)
    if not trees:
        obstacle = "a linear booster has no trees"
    return Checked(
        estimator, trees, tuple(splits), "float32", lambda: boosters.compile_xgboost(booster), obstacle=obstacle
    )


def _of_lightgbm(estimator: Any, booster: Any) -> Checked:
    splits = tuple(boosters.lightgbm_splits(booster))
    return Checked(estimator, booster.num_trees(), splits, "float64", lambda: boosters.compile_lightgbm(booster))


def _of_booster(booster: Any) -> Uploaded:
    """A booster on its own: its objective says whether it gives a probability."""
    if isinstance(booster, xgboost.Booster):
        width, objective = booster.num_features(), boosters.xgboost_objective(booster)
        names = list(booster.feature_names) if booster.feature_names else None
        trees = _of_xgboost(booster, booster)
    else:
        width, objective = booster.num_feature(), boosters.lightgbm_objective(booster)
        given = list(booster.feature_name())
        names = None if given == [f"Column_{place}" for place in range(width)] else given
        trees = _of_lightgbm(booster, booster)
    probability = objective in ("binary:logistic", "reg:logistic", "binary", "cross_entropy")
    return Uploaded(
        estimator=f"{type(booster).__module__}.{type(booster).__qualname__}",
        width=width,
        names=names,
        gives="probability" if probability else "value",
        classes=[0, 1] if probability else None,
        predict=lambda rows: _ask_booster(booster, rows),
        trees=trees,
        importance=lambda features: importance_of(booster, features),
    )


def _ask_booster(booster: Any, rows: Matrix) -> Any:
    if isinstance(booster, lightgbm.Booster):
        try:
            return np.asarray(booster.predict(rows), float).reshape(len(rows))
        except FOREIGN as error:
            raise ValueError(str(error)) from error
    table = xgboost.DMatrix(within_float32(rows), feature_names=booster.feature_names, nthread=1)
    return np.asarray(booster.predict(table), float).reshape(len(rows))
