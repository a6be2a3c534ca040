"""scikit-learn's trees and ensembles of them: checked inside, made ready and compiled, in the confined child.

All functions raise ValueError for an estimator whose parts do not fit together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import treelite
import treelite.sklearn
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.tree._tree import Tree

from services.models.compiled import Cast, Link
from services.models.safe_functions import MAX_FEATURES
from services.models.safe_types import MODELS
from services.models.trees import check_predictor, check_tree_state

BOOSTING = (GradientBoostingClassifier, GradientBoostingRegressor)
HISTOGRAM = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
SINGLE = (DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor)
# Forests are the rest.

MOST_SPLITS = 1_000  # of one tree, for the probe: a large forest has millions
FITTED_PARTS = {"estimators_", "_predictors", "tree_"}

Split = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Checked:
    """Sound trees: how many, (feature, threshold) of their splits for the probe, and how they are compiled.

    `obstacle` says why they are not; they are then scored as an object.
    """

    estimator: Any
    trees: int
    splits: tuple[Split, ...]
    cast: Cast  # the width the library compares with
    importer: Callable[[], bytes]
    link: Link = "identity"  # see `CompiledForm.link`
    obstacle: str = ""

    def compile(self) -> bytes:
        """Treelite's serialized form; raises `treelite.TreeliteError`, NotImplementedError or AssertionError."""
        if self.obstacle:
            raise NotImplementedError(self.obstacle)
        return self.importer()

    def predict(self, matrix: Any) -> Any:
        """The library's own answer, float64[n]."""
        return predict(self.estimator, matrix)


def predict(estimator: Any, rows: Any) -> Any:
    """The probability of class 1, or the regressor's value: float64[n]."""
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(rows), float)[:, 1]
    return np.asarray(estimator.predict(rows), float).reshape(len(rows))


def check(estimator: Any) -> Checked:
    """Look at every part that a library will rely on, and set what must not come from outside."""
    width = vars(estimator).get("n_features_in_")
    if type(width) is not int or not 1 <= width <= MAX_FEATURES:
        raise ValueError("the estimator is not fitted")
    if isinstance(estimator, HISTOGRAM):
        return _histogram(estimator, width)
    obstacle = ""
    if isinstance(estimator, SINGLE):
        trees = [_tree(estimator, width)]
    elif isinstance(estimator, BOOSTING):
        trees, obstacle = _boosting(estimator, width)
    else:
        trees = _forest(estimator, width)
    splits = tuple(split for tree in trees for split in _splits(tree))
    exponential = isinstance(estimator, GradientBoostingClassifier) and estimator.loss == "exponential"
    link: Link = "exponential" if exponential else "identity"
    return Checked(estimator, len(trees), splits, "float32", lambda: _import(estimator), link, obstacle)


def _import(estimator: Any) -> bytes:
    form: bytes = treelite.sklearn.import_model(_forest_of(estimator)).serialize_bytes()
    return form


def _boosting(estimator: Any, width: int) -> tuple[list[Any], str]:
    members = vars(estimator).get("estimators_")
    if type(members) is not np.ndarray or members.ndim != 2 or members.shape[1] != 1 or not len(members):
        raise ValueError("gradient boosting here has one tree per stage")
    # With early stopping there are fewer stages than asked for, and treelite counts those asked for.
    estimator.n_estimators = len(members)
    if type(estimator.learning_rate) not in (int, float):
        raise ValueError("the learning rate is no number")
    start = vars(estimator).get("init_")
    dummy = type(start) in (DummyClassifier, DummyRegressor) or (type(start) is str and start == "zero")
    obstacle = "" if dummy else "boosting that starts from an estimator of its own is not compiled"
    return [_tree(member, width) for member in members[:, 0]], obstacle


def _forest(estimator: Any, width: int) -> list[Any]:
    members = vars(estimator).get("estimators_")
    if type(members) is not list or not members or vars(estimator).get("n_outputs_") != 1:
        raise ValueError("a forest is a list of trees with one output")
    # Threads cannot be started where this runs, nor would they help.
    estimator.n_jobs, estimator.n_estimators, estimator.verbose = 1, len(members), 0
    return [_tree(member, width) for member in members]


def _tree(member: Any, width: int) -> Any:
    if type(member) not in SINGLE or type(vars(member).get("tree_")) is not Tree:
        raise ValueError("a member is not a fitted tree")
    if vars(member).get("n_features_in_") != width or int(member.tree_.n_features) != width:
        raise ValueError("a tree has another number of features than the estimator")
    if vars(member).get("n_outputs_") != 1 or not member.tree_.node_count:
        raise ValueError("a tree has no nodes or more than one output")
    check_tree_state(member.tree_, member.tree_.__getstate__())
    return member.tree_


def _splits(tree: Any) -> list[Split]:
    inner = np.flatnonzero(tree.children_left >= 0)
    inner = inner[:: 1 + len(inner) // MOST_SPLITS]
    return list(zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True))


def _histogram(estimator: Any, width: int) -> Checked:
    stages = vars(estimator).get("_predictors")
    if type(stages) is not list or not stages or any(type(stage) is not list or len(stage) != 1 for stage in stages):
        raise ValueError("histogram boosting here has one tree per stage")
    categorical = np.asarray(estimator._bin_mapper.is_categorical_)
    if categorical.shape != (width,) or categorical.any() or vars(estimator).get("_preprocessor") is not None:
        raise ValueError("features here are numbers, not categories")
    splits: list[Split] = []
    for (tree,) in stages:
        if type(tree) is not TreePredictor:
            raise ValueError("a member is not a fitted tree")
        check_predictor(tree, width)
        inner = tree.nodes[tree.nodes["is_leaf"] == 0]
        splits += zip(inner["feature_idx"].tolist(), inner["num_threshold"].tolist(), strict=True)
    baseline = vars(estimator).get("_baseline_prediction")
    if type(baseline) is not np.ndarray or baseline.dtype != np.float64 or baseline.size != 1:
        raise ValueError("the baseline is not one number")
    estimator.verbose = 0
    return Checked(estimator, len(stages), tuple(splits), "float64", lambda: _import(estimator))


def _forest_of(estimator: Any) -> Any:
    """Treelite imports forests, so a single tree goes as a forest of one."""
    if type(estimator) not in SINGLE:
        return estimator
    classifier = hasattr(estimator, "classes_")
    forest = RandomForestClassifier(n_estimators=1) if classifier else RandomForestRegressor(n_estimators=1)
    forest.estimators_ = [estimator]
    for name in ("n_features_in_", "n_outputs_", *(("classes_", "n_classes_") if classifier else ())):
        setattr(forest, name, getattr(estimator, name))
    return forest


def permitted(loaded: object) -> bool:
    """Whether the uploaded object itself is one of the kinds that may be a model."""
    return type(loaded) in MODELS
