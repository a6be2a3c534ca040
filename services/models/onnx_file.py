"""Reads ONNX models: the graph is checked against limits, then ONNX Runtime makes a session with one thread.

Only operators of ONNX itself and of its machine-learning set; no data beside the file, no functions, no loops; the
file's metadata may name the features (`features`, a JSON list).
"""

import io
import json
import math
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import onnx
import onnxruntime

from services.models.onnx_trees import check_trees
from services.models.refusal import Refusal
from services.models.uploaded import Gives, Uploaded, within_float32

DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
LOOPS = {"Loop", "Scan"}
MAX_BYTES = 512 * 1024**2
CHUNK = 1024**2
MAX_NODES = 20_000
MAX_NESTING = 8
MAX_ITEMS = 100_000_000  # of one tensor
MAX_FEATURES = 10_000
EXPORT_AGAIN = "Export the model with the operators of ONNX alone, its data inside the file, and without loops."

TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}

Matrix = np.ndarray[Any, Any]


def read_onnx(file: IO[bytes]) -> Uploaded:
    """The model in `file`; raises `Refusal`, or ValueError for a broken file."""
    if file.seek(0, io.SEEK_END) > MAX_BYTES:
        raise _refused(f"it has more than {MAX_BYTES // 1024**2} MiB")
    file.seek(0)
    data = file.read()
    try:
        model = onnx.ModelProto.FromString(data)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"it is no ONNX model: {error}") from error
    check_model(model)
    session = _session(data)
    return _uploaded(session, model)


def _read(file: IO[bytes]) -> bytes:
    """All of it, by parts: one read of the most that may come would take that much memory at once."""
    data = bytearray()
    while part := file.read(CHUNK):
        data += part
        if len(data) > MAX_BYTES:
            raise _refused(f"it has more than {MAX_BYTES // 1024**2} MiB")
    return bytes(data)


def check_model(model: Any) -> None:
    """Limits on what ONNX Runtime is given; raises `Refusal`."""
    for opset in model.opset_import:
        if opset.domain not in DOMAINS:
            raise _refused(f"it uses the operators of {opset.domain!r}")
    if not model.opset_import or len(model.functions) or len(model.training_info):
        raise _refused("it has functions or training of its own, or names no operators")
    nodes = 0
    for graph, depth in _graphs(model.graph):
        if depth > MAX_NESTING:
            raise _refused("its graphs are nested too deeply")
        nodes += len(graph.node)
        if nodes > MAX_NODES:
            raise _refused(f"it has more than {MAX_NODES:,} nodes")
        if len(graph.sparse_initializer):
            raise _refused("it has sparse data")
        for tensor in _tensors(graph):
            _check_tensor(tensor)
        widths = {value.name: _second_size(value) for value in graph.input}
        for node in graph.node:
            _check_node(node, widths)


def _graphs(root: Any) -> Iterator[tuple[Any, int]]:
    waiting = [(root, 0)]
    while waiting:
        graph, depth = waiting.pop()
        yield graph, depth
        for node in graph.node:
            for attribute in node.attribute:
                inner = [attribute.g] if attribute.HasField("g") else []
                waiting += [(part, depth + 1) for part in (*inner, *attribute.graphs)]


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.t] if attribute.HasField("t") else []
            yield from attribute.tensors


def _check_tensor(tensor: Any) -> None:
    if tensor.data_location != onnx.TensorProto.DEFAULT or len(tensor.external_data):
        raise _refused("it keeps data outside the file")
    if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > MAX_ITEMS:
        raise _refused(f"it has a tensor of more than {MAX_ITEMS:,} items")


def _second_size(value: Any) -> int:
    """Columns of a graph's input, or as many as any may have."""
    sizes = value.type.tensor_type.shape.dim
    return sizes[1].dim_value if len(sizes) == 2 and sizes[1].dim_value else MAX_FEATURES


def _check_node(node: Any, widths: dict[str, int]) -> None:
    if node.domain not in DOMAINS:
        raise _refused(f"it uses {node.op_type} of {node.domain!r}")
    if node.op_type in LOOPS:
        raise _refused(f"it has a {node.op_type}, which may never end")
    if node.op_type.startswith("TreeEnsemble"):
        try:
            check_trees(node, widths.get(node.input[0], MAX_FEATURES))
        except ValueError as error:
            raise _refused(str(error)) from error


def _session(data: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except MemoryError:
        raise
    except Exception as error:
        raise _refused(f"ONNX Runtime does not take it: {str(error)[:300]}") from error


def _uploaded(session: Any, model: Any) -> Uploaded:
    inputs = session.get_inputs()
    if any(value.type not in TYPES for value in inputs):
        kinds = sorted({value.type for value in inputs})
        raise Refusal("onnx-not-permitted", f"its inputs are {', '.join(kinds)}", "Export it with float inputs.")
    columns = len(inputs) > 1
    width = len(inputs) if columns else _width(inputs[0])
    names = [value.name for value in inputs] if columns else _named_features(model)
    output, gives = _output(session)

    def predict(rows: Matrix) -> Any:
        return _ask(session, inputs, output, rows)

    return Uploaded(
        estimator=f"onnx.{model.producer_name[:50] or 'model'}",
        width=width,
        names=names,
        gives=gives,
        classes=[0, 1] if gives == "probability" else None,
        predict=predict,
        trees=None,
        importance=lambda features: None,
    )


def _width(value: Any) -> int:
    shape = list(value.shape)
    if len(shape) != 2 or type(shape[1]) is not int or not 1 <= shape[1] <= MAX_FEATURES:
        advice = "Export it with one input of the shape [rows, features], or with one column for each feature."
        raise Refusal("onnx-not-permitted", f"its input has the shape {shape}", advice)
    return int(shape[1])


def _named_features(model: Any) -> list[str] | None:
    for entry in model.metadata_props:
        if entry.key == "features":
            names = json.loads(entry.value)
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                return names
    return None


def _output(session: Any) -> tuple[str, Gives]:
    """The output that is asked for: probabilities of two classes where there are any, else numbers, one per row."""
    outputs = session.get_outputs()
    for value in outputs:
        if value.type.startswith("seq(map(") or (value.type in TYPES and list(value.shape)[1:] == [2]):
            return value.name, "probability"
    for value in outputs:
        if value.type in TYPES and (list(value.shape)[1:] in ([], [1]) or value.name.startswith("probabilit")):
            return value.name, "either"
    told = ", ".join(f"{value.name}: {value.type}{value.shape}" for value in outputs)
    advice = "Give it an output with the probabilities of both classes, or one number per row."
    raise Refusal("onnx-not-permitted", f"its outputs are {told[:300]}", advice)


def _ask(session: Any, inputs: list[Any], output: str, rows: Matrix) -> Any:
    if len(inputs) == 1:
        feed = {inputs[0].name: _cast(rows, inputs[0])}
    else:
        feed = {value.name: _cast(rows[:, place : place + 1], value) for place, value in enumerate(inputs)}
    try:
        (answer,) = session.run([output], feed)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(str(error)) from error
    if isinstance(answer, list):  # one map from class to probability per row
        return np.array([float(row[1]) for row in answer])
    scores = np.asarray(answer, float)
    return scores[:, 1] if scores.ndim == 2 and scores.shape[1] == 2 else scores.reshape(len(rows))


def _cast(rows: Matrix, value: Any) -> Matrix:
    kind = TYPES[value.type]
    return np.ascontiguousarray(within_float32(rows) if kind is np.float32 else rows, kind)


def _refused(detail: str) -> Refusal:
    return Refusal("onnx-not-permitted", detail, EXPORT_AGAIN)
