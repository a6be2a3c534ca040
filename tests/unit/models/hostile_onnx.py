"""Hostile ONNX files: data elsewhere, sizes that lie, loops, code of their own, and trees that lead outside."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.trained_models import FEATURES

Make = Callable[[], bytes]


def _onnx(nodes: list[Any], *tensors: Any, domain: str = "", output: str = "y", **more: Any) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(FEATURES)])
    y = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph(nodes, "g", [x], [y], list(tensors))
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    imports += [helper.make_opsetid(domain, 1)] if domain else []
    model = helper.make_model(graph, opset_imports=imports, ir_version=9, **more)
    data: bytes = model.SerializeToString()
    return data


def _weights(**fields: Any) -> Any:
    tensor = numpy_helper.from_array(np.full((len(FEATURES), 1), 0.1, np.float32), "w")
    for name, value in fields.items():
        if name == "dims":
            del tensor.dims[:]
            tensor.dims.extend(value)
        else:
            setattr(tensor, name, value)
    return tensor


PRODUCT = helper.make_node("MatMul", ["x", "w"], ["y"])


def _outside(location: str) -> bytes:
    tensor = _weights(data_location=TensorProto.EXTERNAL)
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value=location)
    return _onnx([PRODUCT], tensor)


def _loop() -> bytes:
    """A loop of 2**62 turns whose condition stays true."""
    scalar = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["v"], ["u"])],
        "body",
        [scalar("i", TensorProto.INT64, []), scalar("c", TensorProto.BOOL, []), scalar("v", TensorProto.FLOAT, None)],
        [scalar("d", TensorProto.BOOL, []), scalar("u", TensorProto.FLOAT, None)],
    )
    turns = numpy_helper.from_array(np.array(2**62, np.int64), "turns")
    true = numpy_helper.from_array(np.array(True), "true")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Loop", ["turns", "true", "p"], ["y"], body=body),
    ]
    return _onnx(nodes, _weights(), turns, true)


def _branches(depth: int) -> bytes:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([PRODUCT], "leaf", [], [value])
    other = helper.make_graph([PRODUCT], "other", [], [value])
    for _ in range(depth):
        node = helper.make_node("If", ["true"], ["y"], then_branch=graph, else_branch=other)
        graph = helper.make_graph([node], "within", [], [value])
    return _onnx(list(graph.node), _weights(), numpy_helper.from_array(np.array(True), "true"))


def _filled(size: int) -> bytes:
    shape = numpy_helper.from_array(np.array([size], np.int64), "shape")
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["p", "sum"], ["y"]),
    ]
    return _onnx(nodes, _weights(), shape)


def _trees(**changes: list[Any]) -> bytes:
    """One split and two leaves; `changes` replace attributes."""
    fields: dict[str, Any] = {
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0], "nodes_missing_value_tracks_true": [0, 0, 0],
        "nodes_hitrates": [1.0, 1.0, 1.0], "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0],
        "target_weights": [0.2, 0.8], "n_targets": 1, "post_transform": "NONE",
    }  # fmt: skip
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **(fields | changes))
    return _onnx([node])


def _function() -> bytes:
    body = [helper.make_node("Identity", ["a"], ["b"])]
    own = helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("", 20)])
    return _onnx([helper.make_node("F", ["x"], ["y"], domain="own")], domain="own", functions=[own])


ONNX: dict[str, Make] = {
    "data outside": lambda: _outside("/etc/passwd"),
    "data above": lambda: _outside("../../../../etc/passwd"),
    "a tensor of a terabyte": lambda: _onnx([PRODUCT], _weights(dims=[2**40, 1])),
    "a tensor that overflows": lambda: _onnx([PRODUCT], _weights(dims=[2**62, 2**62])),
    "a tensor of a negative size": lambda: _onnx([PRODUCT], _weights(dims=[-4, 1])),
    "a tensor shorter than its shape": lambda: _onnx([PRODUCT], _weights(dims=[4000, 1])),
    "a loop without end": _loop,
    "branches within branches": lambda: _branches(12),
    "a shape of a terabyte": lambda: _filled(2**38),
    "operators of its own": lambda: _onnx([helper.make_node("Run", ["x"], ["y"], domain="evil")], domain="evil"),
    "operators of Microsoft's": lambda: _onnx(
        [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")], domain="com.microsoft"
    ),
    "functions of its own": _function,
    "an operator that is none": lambda: _onnx([helper.make_node("Execute", ["x"], ["y"])]),
    "an output that nobody makes": lambda: _onnx([PRODUCT], _weights(), output="z"),
    "a cycle of nodes": lambda: _onnx([helper.make_node("Add", ["x", "y"], ["y"])]),
    "trees: a cycle": lambda: _trees(nodes_truenodeids=[0, 0, 0]),
    "trees: child far outside": lambda: _trees(nodes_falsenodeids=[2**40, 0, 0]),
    "trees: feature far outside": lambda: _trees(nodes_featureids=[2**40, 0, 0]),
    "trees: feature before the row": lambda: _trees(nodes_featureids=[-(2**20), 0, 0]),
    "trees: target far outside": lambda: _trees(target_ids=[2**40, 0]),
    "trees: lists of other sizes": lambda: _trees(nodes_values=[0.5]),
    "no nodes": lambda: _onnx([]),
    "cut off": lambda: _onnx([PRODUCT], _weights())[:60],
    "noise": lambda: b"\x08\x09\x12\x00" + bytes(range(256)) * 4,
}  # fmt: skip

HONEST: dict[str, Make] = {
    "onnx product": lambda: _onnx([PRODUCT], _weights()),
    "onnx trees": lambda: _trees(),
    "onnx filled": lambda: _filled(3),
    "onnx branches": lambda: _branches(3),
}
