"""The kinds of estimators that are taken in: checked inside, made ready and compiled, in the confined child.

All functions raise ValueError for an estimator whose parts do not fit together.
"""

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
from services.models.safe_types import ESTIMATORS, MAX_FEATURES, OBJECTS, PARTS
from services.models.trees import check_predictor

BOOSTING = (GradientBoostingClassifier, GradientBoostingRegressor)
HISTOGRAM = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
SINGLE = (DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor)
# Forests are the rest of ESTIMATORS.

DEEPEST = 20
FITTED_PARTS = {"estimators_", "_predictors", "tree_"}

Split = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Checked:
    """A sound estimator: its number of trees, and (feature, threshold) of splits for the probe."""

    estimator: Any
    trees: int
    splits: tuple[Split, ...]

    @property
    def cast(self) -> Cast:
        """The width the library compares with."""
        return "float64" if isinstance(self.estimator, HISTOGRAM) else "float32"

    @property
    def link(self) -> Link:
        """See `CompiledForm.link`."""
        exponential = isinstance(self.estimator, GradientBoostingClassifier) and self.estimator.loss == "exponential"
        return "exponential" if exponential else "identity"

    def compile(self) -> bytes:
        """Treelite's serialized form; raises `treelite.TreeliteError`, NotImplementedError or AssertionError."""
        model: bytes = treelite.sklearn.import_model(_forest_of(self.estimator)).serialize_bytes()
        return model

    def predict(self, matrix: Any) -> Any:
        """The library's own answer, float64[n]."""
        return predict(self.estimator, matrix)


def predict(estimator: Any, rows: Any) -> Any:
    """The probability of class 1, or the regressor's value: float64[n]."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(rows)[:, 1]
    return np.asarray(estimator.predict(rows), float).reshape(len(rows))


def check(estimator: Any) -> Checked:
    """Look at every part that a library will rely on, and set what must not come from outside."""
    width = vars(estimator).get("n_features_in_")
    if type(width) is not int or not 1 <= width <= MAX_FEATURES:
        raise ValueError("the estimator is not fitted")
    if isinstance(estimator, HISTOGRAM):
        return _histogram(estimator, width)
    if isinstance(estimator, SINGLE):
        trees = [_tree(estimator, width)]
    elif isinstance(estimator, BOOSTING):
        trees = _boosting(estimator, width)
    else:
        trees = _forest(estimator, width)
    return Checked(estimator, len(trees), tuple(split for tree in trees for split in _splits(tree)))


def _boosting(estimator: Any, width: int) -> list[Any]:
    members = vars(estimator).get("estimators_")
    if type(members) is not np.ndarray or members.ndim != 2 or members.shape[1] != 1 or not len(members):
        raise ValueError("gradient boosting here has one tree per stage")
    # With early stopping there are fewer stages than asked for, and treelite counts those asked for.
    estimator.n_estimators = len(members)
    if type(estimator.learning_rate) not in (int, float):
        raise ValueError("the learning rate is no number")
    start = vars(estimator).get("init_")
    if type(start) not in (DummyClassifier, DummyRegressor) and start != "zero":
        raise ValueError("boosting that starts from an estimator of its own cannot be compiled")
    return [_tree(member, width) for member in members[:, 0]]


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
    return member.tree_


def _splits(tree: Any) -> list[Split]:
    inner = tree.children_left >= 0
    return list(zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True))


def _histogram(estimator: Any, width: int) -> Checked:
    stages = vars(estimator).get("_predictors")
    if type(stages) is not list or not stages or any(type(stage) is not list or len(stage) != 1 for stage in stages):
        raise ValueError("histogram boosting here has one tree per stage")
    trees = [stage[0] for stage in stages]
    splits: list[Split] = []
    for tree in trees:
        if type(tree) is not TreePredictor:
            raise ValueError("a member is not a fitted tree")
        check_predictor(tree, width)
        inner = tree.nodes[tree.nodes["is_leaf"] == 0]
        splits += zip(inner["feature_idx"].tolist(), inner["num_threshold"].tolist(), strict=True)
    baseline = vars(estimator).get("_baseline_prediction")
    if type(baseline) is not np.ndarray or baseline.dtype != np.float64 or baseline.size != 1:
        raise ValueError("the baseline is not one number")
    mapper = estimator._bin_mapper
    if np.asarray(mapper.is_categorical_).shape != (width,) or np.any(mapper.is_categorical_):
        raise ValueError("features here are numbers, not categories")
    if vars(estimator).get("_preprocessor") is not None:
        raise ValueError("histogram boosting with a preprocessor of its own cannot be compiled")
    estimator.verbose = 0
    return Checked(estimator, len(trees), tuple(splits))


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
    return type(loaded) in ESTIMATORS or type(loaded) in OBJECTS


def compiles(loaded: object) -> bool:
    """Whether its kind is one that is compiled; the others are scored as objects."""
    return type(loaded) in ESTIMATORS


def check_within(loaded: object, depth: int = 0) -> None:
    """Check every estimator of trees that an object holds, however deep; raises ValueError as `check` does."""
    if depth > DEEPEST:
        raise ValueError("the model is nested too deeply")
    if type(loaded) in ESTIMATORS:
        if not FITTED_PARTS.isdisjoint(vars(loaded)):  # a calibrator also keeps the unfitted estimator it copied
            check(loaded)
        return
    for part in _parts_of(loaded):
        check_within(part, depth + 1)


def _parts_of(holder: object) -> list[Any]:
    if type(holder) in (list, tuple, set):
        return list(holder)  # type: ignore[call-overload, no-any-return]
    if type(holder) is dict:
        return list(holder.values())
    if isinstance(holder, np.ndarray):
        return list(holder.ravel()) if holder.dtype.kind == "O" else []
    return list(vars(holder).values()) if type(holder) in (*OBJECTS, *PARTS) else []
