"""Model files that run code, crash or eat the machine when a plain loader opens them; a canary shows what ran."""

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.tree import DecisionTreeClassifier

from tests.trained_models import trained

Make = Callable[[Path], bytes]


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def touch(canary: Path) -> str:
    """Python that leaves the canary."""
    return f"__import__('pathlib').Path({str(canary)!r}).touch()"


def by_hand(*parts: bytes) -> bytes:
    """A protocol 4 pickle of raw opcodes."""
    return b"\x80\x04" + b"".join(parts) + b"."


def text(value: str) -> bytes:
    """SHORT_BINUNICODE or BINUNICODE."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(module: str, attribute: str) -> bytes:
    """STACK_GLOBAL."""
    return text(module) + text(attribute) + b"\x93"


def system(canary: Path) -> bytes:
    return by_hand(name("os", "system"), text(f"touch '{canary}'"), b"\x85R")


def posix_system(canary: Path) -> bytes:
    return b"cposix\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."


def evaluate(canary: Path) -> bytes:
    return by_hand(name("builtins", "eval"), text(touch(canary)), b"\x85R")


def execute_in_joblib(canary: Path) -> bytes:
    out = io.BytesIO()
    joblib.dump({"model": Calls(exec, touch(canary))}, out)
    return out.getvalue()


def dotted_name(canary: Path) -> bytes:
    return by_hand(name("sklearn.tree._classes", "np.lib._utils_impl.os.system"), text(f"touch {canary}"), b"\x85R")


def getattr_chain(canary: Path) -> bytes:
    return by_hand(name("builtins", "getattr"), name("os", "path"), text("join"), b"\x86R")


def scipy_distribution(canary: Path) -> bytes:
    return by_hand(name("scipy.stats._distn_infrastructure", "rv_frozen"), b")\x81}", text("x"), b"K\x01sb")


def numpy_runstring(canary: Path) -> bytes:
    return by_hand(name("numpy.testing._private.utils", "runstring"), text(touch(canary)), b"}\x86R")


def function_transformer(canary: Path) -> bytes:
    step = name("sklearn.preprocessing._function_transformer", "FunctionTransformer")
    return by_hand(step, b")\x81}", text("func"), name("os", "system"), b"sb")


def extension(canary: Path) -> bytes:
    return by_hand(b"\x82\x01")


def persistent(canary: Path) -> bytes:
    return by_hand(b"Psome-object\n")


def old_instance(canary: Path) -> bytes:
    return by_hand(b"(", text(f"touch {canary}"), b"ios\nsystem\n")


def object_array(canary: Path) -> bytes:
    out = io.BytesIO()
    joblib.dump(np.array([Calls(eval, touch(canary)), 1], dtype=object), out)
    return out.getvalue()


def object_array_in_a_model(canary: Path) -> bytes:
    model = pickle.loads(pickle.dumps(trained("tree").estimator))
    model.feature_names_in_ = np.array([Calls(eval, touch(canary)), "b", "c", "d"], dtype=object)
    out = io.BytesIO()
    joblib.dump(model, out, compress=("xz", 1))
    return out.getvalue()


def raw_array_subclass(canary: Path) -> bytes:
    return by_hand(name("numpy._core.multiarray", "_reconstruct"), name("numpy", "memmap"), b"K\x00\x85C\x01b\x87R")


def called_estimator(canary: Path) -> bytes:
    return by_hand(name("sklearn.tree._classes", "DecisionTreeClassifier"), b")R")


def hidden_method(canary: Path) -> bytes:
    kind = name("sklearn.tree._classes", "DecisionTreeClassifier")
    return by_hand(kind, b")\x81}", text("predict_proba"), b"K\x01sb")


def state_of_a_class(canary: Path) -> bytes:
    kind = name("sklearn.tree._classes", "DecisionTreeClassifier")
    return by_hand(kind, b"}", text("predict_proba"), b"K\x01sb")


def more_bytes(canary: Path) -> bytes:
    return pickle.dumps(trained("tree").estimator) + b"more"


def another_pickle(canary: Path) -> bytes:
    return pickle.dumps(trained("tree").estimator) + system(canary)


def lying_array(canary: Path) -> bytes:
    """An array that says it has more numbers than its bytes hold."""
    array = pickle.dumps(np.arange(4.0), protocol=2)
    return array.replace(b"K\x04\x85", b"K\x7f\x85")


def pointers_for_objects(canary: Path) -> bytes:
    """An array type of objects that says it holds plain bytes, so that numbers become pointers."""
    honest = pickle.dumps(np.dtype("O"), protocol=2)
    return honest.replace(b"K?t", b"K\x00t")


BEFORE_LOADING: dict[str, Make] = {
    make.__name__: make
    for make in (
        *(system, posix_system, evaluate, execute_in_joblib, dotted_name, getattr_chain, scipy_distribution),
        *(numpy_runstring, function_transformer, extension, persistent, old_instance, object_array),
        *(object_array_in_a_model, raw_array_subclass, called_estimator, hidden_method, state_of_a_class),
        *(more_bytes, another_pickle, lying_array, pointers_for_objects),
    )
}


def tampered_tree(change: Callable[[dict[str, Any]], None]) -> bytes:
    """A decision tree whose own state was changed before saving; made of permitted types only."""
    tree = trained("tree").estimator.tree_
    state = tree.__getstate__()
    state["nodes"], state["values"] = state["nodes"].copy(), state["values"].copy()
    change(state)

    class Tampered:
        """Pickles as the tree."""

        def __reduce__(self) -> Any:
            return (type(tree), tree.__reduce__()[1], state)

    model = pickle.loads(pickle.dumps(trained("tree").estimator))
    assert isinstance(model, DecisionTreeClassifier)
    model.tree_ = Tampered()
    return pickle.dumps(model)


def _child_outside(state: dict[str, Any]) -> None:
    state["nodes"]["left_child"][0] = 1_000_000_000


def _endless(state: dict[str, Any]) -> None:
    state["nodes"]["left_child"][0] = state["nodes"]["right_child"][0] = 0


def _feature_outside(state: dict[str, Any]) -> None:
    state["nodes"]["feature"][0] = 1_000_000_000


def _more_nodes_than_there_are(state: dict[str, Any]) -> None:
    state["node_count"] += 1_000_000


def _no_number(state: dict[str, Any]) -> None:
    state["values"][:] = np.nan


TAMPERED_TREES = {
    change.__name__.strip("_"): change
    for change in (_child_outside, _endless, _feature_outside, _more_nodes_than_there_are, _no_number)
}


def memory_bomb() -> bytes:
    """Four megabytes that, encoded 500 times over by a permitted call, become two gigabytes."""
    again = name("_codecs", "encode") + b"h\x00" + text("latin1") + b"\x86R"
    return by_hand(text("x" * 4 * 1024**2), b"q\x000](", again * 500, b"e")
