"""Models whose parts were changed before saving: to crash native code, to eat the machine, never to end, or to lie."""

import copyreg
import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import xgboost
from scipy.sparse import csr_matrix
from sklearn.ensemble import VotingClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, SplineTransformer
from sklearn.svm import SVC
from sklearn.tree._tree import Tree

from tests.trained_models import table, trained

Make = Callable[[], bytes]
Change = Callable[[Any], Any]


def nothing(_: Any) -> None:
    """A change that is none, to prove that what these functions write is let in as such."""


def changed(kind: str, change: Change) -> Make:
    """An honest model with something changed; `change` may give another object to save instead."""
    return lambda: _changed(pickle.loads(pickle.dumps(trained(kind).estimator)), change)


def grown(make: Callable[[], Any], change: Change) -> Make:
    """The same for a model that is fitted here."""

    def fit() -> bytes:
        rows = table()
        return _changed(make().fit(rows, (rows["price_to_on_demand"] > 0.3).astype(int)), change)

    return fit


def _changed(model: Any, change: Change) -> bytes:
    other = change(model)
    return other.data if isinstance(other, Saved) else pickle.dumps(model if other is None else other)


def saved_with(kind: type, restate: Callable[[Any], Any]) -> Change:
    """A change of the state that objects of `kind` are saved with, which their own library would not write."""

    def change(model: Any) -> Any:
        out = io.BytesIO()

        class Pickler(pickle.Pickler):
            """Lies about one type."""

            def reducer_override(self, thing: Any) -> Any:
                if type(thing) is not kind:
                    return NotImplemented
                if kind is Tree:
                    return (kind, thing.__reduce__()[1], restate(thing))
                return (copyreg.__newobj__, (kind,), restate(thing))  # type: ignore[attr-defined]

        Pickler(out).dump(model)
        return Saved(out.getvalue())

    return change


class Saved:
    """Bytes that are a pickle already."""

    def __init__(self, data: bytes) -> None:
        self.data = data


def tree_state(kind: str, change: Callable[[dict[str, Any]], None]) -> Make:
    """A model whose trees' own state was changed, as scikit-learn's pickle has it."""

    def restate(tree: Any) -> dict[str, Any]:
        state: dict[str, Any] = tree.__getstate__()
        state["nodes"], state["values"] = state["nodes"].copy(), state["values"].copy()
        change(state)
        return state

    return changed(kind, saved_with(Tree, restate))


def xgboost_bytes(change: Callable[[bytes], bytes]) -> Make:
    """XGBoost's binary form, changed."""
    restate = lambda booster: {"handle": bytearray(change(bytes(booster.__getstate__()["handle"])))}  # noqa: E731
    return grown(lambda: xgboost.XGBClassifier(n_estimators=4), saved_with(xgboost.Booster, restate))


def _first_of(array: bytes, number: int) -> Callable[[bytes], bytes]:
    """The first number of a typed array in Universal Binary JSON: `[$l#L`, eight bytes of length, big-endian int32."""

    def change(data: bytes) -> bytes:
        place = data.index(array + b"[$l#L") + len(array) + 5 + 8
        return data[:place] + struct.pack(">i", number) + data[place + 4 :]

    return change


def _text_of(name: bytes, old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """A number that is written as text: `SL`, eight bytes of length, the digits."""

    def change(data: bytes) -> bytes:
        start = data.index(name + b"SL") + len(name) + 2
        end = start + 8 + len(old)
        assert data[start + 8 : end] == old
        return data[:start] + struct.pack(">q", len(new)) + new + data[end:]

    return change


def lightgbm_text(old: str, new: str) -> Make:
    """LightGBM's text with the first match replaced."""

    def restate(booster: Any) -> dict[str, Any]:
        state: dict[str, Any] = dict(booster.__getstate__())
        assert old in state["_handle"]
        return state | {"_handle": state["_handle"].replace(old, new, 1)}

    return grown(lambda: lightgbm.LGBMClassifier(n_estimators=4, verbose=-1), saved_with(lightgbm.Booster, restate))


def _node(field: str, value: float) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        state["nodes"][field][0] = value

    return change


def _hist(field: str, value: float) -> Change:
    def change(model: Any) -> None:
        model._predictors[0][0].nodes[field][0] = value

    return change


def _set(**attributes: Any) -> Change:
    return lambda model: model.__dict__.update(attributes)


def _step(place: int, **attributes: Any) -> Change:
    """Of one step of a pipeline."""
    return lambda model: model.steps[place][1].__dict__.update(attributes)


def _nodes_as_numbers(model: Any) -> None:
    model._predictors[0][0].nodes = np.zeros(9)


def _itself_in_steps(model: Any) -> None:
    model.steps.append(("again", model))


def _itself_as_member(model: Any) -> None:
    model.estimators_[0] = model


def _nested(model: Any) -> Any:
    for _ in range(150):
        model = Pipeline([("within", model)])
    return model


def _sparse_outside(model: Any) -> None:
    points = csr_matrix(table().to_numpy())
    points.indices[:] = 2**30
    model._fit_X = points


TREE_STATES: dict[str, Callable[[dict[str, Any]], None]] = {
    "child far outside": _node("left_child", 2**40),
    "child before the array": _node("right_child", -(2**40)),
    "a cycle": _node("left_child", 0),
    "feature far outside": _node("feature", 2**40),
    "feature before the array": _node("feature", -5),
    "more nodes than there are": lambda state: state.update(node_count=state["node_count"] + 2**20),
    "values of another shape": lambda state: state.update(values=state["values"][:1]),
    "values that are no numbers": lambda state: state["values"].fill(np.nan),
    "nodes that are numbers": lambda state: state.update(nodes=np.zeros(9)),
}

TREES: dict[str, Make] = {
    **{f"tree: {what}": tree_state("tree", change) for what, change in TREE_STATES.items()},
    **{f"forest: {what}": tree_state("forest", change) for what, change in TREE_STATES.items()},
    "boosting: child far outside": tree_state("boosting-price", _node("left_child", 2**40)),
    "boosting: a cycle": tree_state("boosting-price", _node("left_child", 0)),
    "boosting: stages that are no trees": changed("boosting", lambda model: model.estimators_.fill(None)),
    "forest: members that are numbers": changed("forest", _set(estimators_=[1, 2, 3])),
    "forest: itself a member": changed("forest", _itself_as_member),
    "histogram: child far outside": changed("histogram", _hist("left", 2**31)),
    "histogram: a cycle": changed("histogram", _hist("right", 0)),
    "histogram: feature far outside": changed("histogram", _hist("feature_idx", 2**30)),
    "histogram: categories without bits": changed("histogram", _hist("is_categorical", 1)),
    "histogram: no leaf": changed("histogram", lambda model: model._predictors[0][0].nodes["is_leaf"].fill(0)),
    "histogram: nodes that are numbers": changed("histogram", _nodes_as_numbers),
    "histogram: a baseline of another shape": changed("histogram", _set(_baseline_prediction=np.zeros((7, 7)))),
    "xgboost: cut off": xgboost_bytes(lambda data: data[:200]),
    "xgboost: noise": xgboost_bytes(lambda data: b"{L" + bytes(range(256)) * 20),
    "xgboost: noise within": xgboost_bytes(lambda data: data[:400] + bytes(range(256)) + data[656:]),
    "xgboost: child far outside": xgboost_bytes(_first_of(b"left_children", 99_999_999)),
    "xgboost: child before the array": xgboost_bytes(_first_of(b"right_children", -99_999_999)),
    "xgboost: a cycle": xgboost_bytes(_first_of(b"left_children", 0)),
    "xgboost: feature far outside": xgboost_bytes(_first_of(b"split_indices", 99_999_999)),
    "xgboost: more nodes than there are": xgboost_bytes(_text_of(b"num_nodes", b"3", b"999999999")),
    "lightgbm: cut off": lightgbm_text("end of trees", ""),
    "lightgbm: child far outside": lightgbm_text("left_child=1", "left_child=99999999"),
    "lightgbm: a cycle": lightgbm_text("left_child=1", "left_child=0"),
    "lightgbm: feature far outside": lightgbm_text("split_feature=", "split_feature=9999"),
    "lightgbm: leaves without end": lightgbm_text("num_leaves=", "num_leaves=9999999"),
}


def _logistic_with(**attributes: Any) -> Make:
    return changed("logistic", _step(1, **attributes))


def _neighbours(**attributes: Any) -> Make:
    return grown(KNeighborsClassifier, _set(**attributes))


def _after(step: Callable[[], Any], **attributes: Any) -> Make:
    return grown(lambda: make_pipeline(step(), GaussianNB()), _step(0, **attributes))


OTHERS: dict[str, Make] = {
    "a pipeline within itself": changed("logistic", _itself_in_steps),
    "pipelines within pipelines": changed("logistic", _nested),
    "a vote of itself": grown(lambda: VotingClassifier([("a", trained("logistic").estimator)]), _itself_as_member),
    "coefficients of another shape": _logistic_with(coef_=np.zeros((1, 9))),
    "coefficients that are objects": _logistic_with(coef_=np.array([[None, [], {}, ()]], dtype=object)),
    "coefficients that are no numbers": _logistic_with(coef_=np.full((1, 4), np.nan)),
    "steps that are texts": changed("logistic", _set(steps=[("a", "passthrough"), ("b", "drop")])),
    "a function that is a class": _after(lambda: FunctionTransformer(np.log1p), func=list),
    "powers beyond memory": _after(lambda: PolynomialFeatures(2), _n_out_full=2**40),
    "neighbours of another shape": _neighbours(_fit_X=np.zeros((3, 90))),
    "more neighbours than there are": _neighbours(n_neighbors=2**40),
    "sparse neighbours outside": grown(lambda: KNeighborsClassifier(algorithm="brute"), _sparse_outside),
    "distances by code": _neighbours(metric=list, effective_metric_=list),
    "support vectors of another size": grown(SVC, _set(_n_support=np.array([2**30, 1], np.int32))),
    "support vectors that are too few": grown(SVC, _set(support_vectors_=np.zeros((1, 4)))),
    "a kernel that is code": grown(SVC, _set(kernel=list)),
    "splines of another shape": grown(
        lambda: make_pipeline(SplineTransformer(), GaussianNB()),
        lambda model: setattr(model.steps[0][1].bsplines_[0], "_c", np.zeros((2, 1))),
    ),
}

HONEST: dict[str, Make] = {
    "a tree's own state": tree_state("tree", nothing),
    "histogram": changed("histogram", nothing),
    "logistic": changed("logistic", nothing),
    "xgboost's bytes": xgboost_bytes(lambda data: data),
    "lightgbm's text": lightgbm_text("tree", "tree"),
}
