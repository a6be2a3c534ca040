"""Small ONNX models, made by hand or from scikit-learn, honest and otherwise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import skl2onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.trained_models import FEATURES
from tests.unit.models.honest_data import features, interrupted, price

WIDTH = len(FEATURES)
FLOAT = TensorProto.FLOAT


def bytes_of(model: Any) -> bytes:
    """The file."""
    return bytes(model.SerializeToString())


def model_of(nodes: list[Any], initializers: list[Any], inputs: list[Any], outputs: list[Any], **more: Any) -> Any:
    """A model with the operators of today's release."""
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    opsets = more.pop("opsets", None) or [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="by-hand", **more)
    names = model.metadata_props.add()
    names.key, names.value = "features", "[" + ", ".join(f'"{name}"' for name in FEATURES) + "]"
    return model


def rows_in(name: str = "rows", kind: int = FLOAT) -> Any:
    """One input with all features."""
    return helper.make_tensor_value_info(name, kind, [None, WIDTH])


def scores_out(name: str = "scores", width: int = 1) -> Any:
    """One output."""
    return helper.make_tensor_value_info(name, FLOAT, [None, width])


def weights(name: str, values: Any, kind: Any = np.float32) -> Any:
    """An initializer."""
    return numpy_helper.from_array(np.asarray(values, kind), name)


def sigmoid() -> Any:
    """A network of one neuron: a probability per row."""
    nodes = [
        helper.make_node("Gemm", ["rows", "w", "b"], ["line"]),
        helper.make_node("Sigmoid", ["line"], ["scores"]),
    ]
    return model_of(
        nodes, [weights("w", [[0.1], [0.2], [-0.1], [0.0]]), weights("b", [0.1])], [rows_in()], [scores_out()]
    )


def line(kind: int = FLOAT) -> Any:
    """A weighted sum, which is no probability."""
    number = np.float64 if kind == TensorProto.DOUBLE else np.float32
    out = helper.make_tensor_value_info("scores", kind, [None, 1])
    node = helper.make_node("MatMul", ["rows", "w"], ["scores"])
    return model_of([node], [weights("w", [[1.0], [2.0], [3.0], [4.0]], number)], [rows_in(kind=kind)], [out])


def double_line() -> Any:
    """Over float64."""
    return line(TensorProto.DOUBLE)


def columns() -> Any:
    """One input for each feature, as converters of pipelines over DataFrames make."""
    inputs = [helper.make_tensor_value_info(name, FLOAT, [None, 1]) for name in FEATURES]
    node = helper.make_node("Sum", list(FEATURES), ["sum"])
    return model_of([node, helper.make_node("Sigmoid", ["sum"], ["scores"])], [], inputs, [scores_out()])


TREE = {
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [1, 0, 0],
    "nodes_values": [0.3, 0.0, 0.0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
    "target_treeids": [0, 0],
    "target_nodeids": [1, 2],
    "target_ids": [0, 0],
    "target_weights": [0.25, 0.75],
    "n_targets": 1,
}


def tree(**changes: Any) -> Any:
    """One split."""
    node = helper.make_node("TreeEnsembleRegressor", ["rows"], ["scores"], domain="ai.onnx.ml", **TREE | changes)
    return model_of([node], [], [rows_in()], [scores_out()])


def logistic(*, zipmap: bool) -> Any:
    """scikit-learn's, converted: probabilities as a table, or as a map for each row."""
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(features().to_numpy(), interrupted())
    kind = [("rows", FloatTensorType([None, WIDTH]))]
    return skl2onnx.convert_sklearn(estimator, initial_types=kind, options={"zipmap": zipmap}, target_opset=18)


def linear() -> Any:
    """scikit-learn's, converted."""
    estimator = LinearRegression().fit(features().to_numpy(), price())
    return skl2onnx.convert_sklearn(
        estimator, initial_types=[("rows", FloatTensorType([None, WIDTH]))], target_opset=18
    )


HONEST: dict[str, Callable[[], Any]] = {
    "sigmoid": sigmoid,
    "columns": columns,
    "tree": tree,
    "logistic": lambda: logistic(zipmap=False),
    "logistic-by-maps": lambda: logistic(zipmap=True),
    "line-price": line,
    "double-line-price": double_line,
    "linear-price": linear,
}


def custom_operator() -> Any:
    node = helper.make_node("Run", ["rows"], ["scores"], domain="com.example")
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.example", 1)]
    return model_of([node], [], [rows_in()], [scores_out()], opsets=opsets)


def outside_data() -> Any:
    model = sigmoid()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return model


def endless_loop() -> Any:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"])],
        "body",
        [helper.make_tensor_value_info("turn", TensorProto.INT64, []), helper.make_tensor_value_info("go", 9, [])],
        [helper.make_tensor_value_info("go_on", 9, [])],
    )
    nodes = [helper.make_node("Loop", ["", "yes"], [], body=body), helper.make_node("Identity", ["rows"], ["scores"])]
    return model_of(nodes, [weights("yes", True, np.bool_)], [rows_in()], [scores_out(width=WIDTH)])


def own_function() -> Any:
    node = helper.make_node("Identity", ["a"], ["b"])
    function = helper.make_function("own", "f", ["a"], ["b"], [node], [helper.make_opsetid("", 21)])
    model = sigmoid()
    model.functions.append(function)
    return model


def huge_tensor() -> Any:
    model = sigmoid()
    model.graph.initializer[0].dims[:] = [4, 2**40]
    return model


def expanding() -> Any:
    """A few bytes that become terabytes once it runs."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["all"]),
        helper.make_node("ReduceSum", ["all"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["rows", "sum"], ["wide"]),
        helper.make_node("ReduceSum", ["wide", "axis"], ["scores"]),
    ]
    sizes = [weights("shape", [2**20, 2**20], np.int64), weights("axis", [1], np.int64)]
    return model_of(nodes, sizes, [rows_in()], [scores_out()])


def text_input() -> Any:
    node = helper.make_node("Cast", ["rows"], ["scores"], to=FLOAT)
    return model_of([node], [], [rows_in(kind=TensorProto.STRING)], [scores_out(width=WIDTH)])


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "custom-operator": (custom_operator, "com.example"),
    "outside-data": (outside_data, "outside the file"),
    "endless-loop": (endless_loop, "Loop"),
    "own-function": (own_function, "functions"),
    "huge-tensor": (huge_tensor, "items"),
    "text-input": (text_input, "tensor(string)"),
    "endless-tree": (lambda: tree(nodes_truenodeids=[0, 0, 0]), "two parents"),
    "child-outside": (lambda: tree(nodes_truenodeids=[1_000_000, 0, 0]), "outside their nodes"),
    "feature-outside": (lambda: tree(nodes_featureids=[1_000_000, 0, 0]), "feature"),
    "cut-lists": (lambda: tree(nodes_falsenodeids=[2]), "different sizes"),
}
