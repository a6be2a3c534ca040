"""Reads `.skops` files: the schema is walked and every name in it looked up in our own list, then skops builds it.

skops trusts more types than this server does, and by name only. So a file's schema is first checked node by node, and
handed on without the node ids by which one part could stand for another; skops itself then loads a copy that holds the
checked schema and the files it names, trusting exactly the names that were looked up.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import skops
import skops.io
from skops.io._protocol import PROTOCOL

from services.models import permitted, safe_types
from services.models.booster_form import check_xgboost
from services.models.booster_text import check_lightgbm
from services.models.boosters import LIGHTGBM_STATE, XGBOOST_STATE
from services.models.safe_load import RefusedPickle

SCHEMA = "schema.json"
MAX_SCHEMA_BYTES = 256 * 1024**2
GROWTH = 200  # a file may unpack to this many times its size, and 64 MiB
DEEPEST = 200

Node = dict[str, Any]

PLAIN = {
    "DictNode": {"builtins.dict", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"},
    "DefaultDictNode": {"collections.defaultdict"},
    "ListNode": {"builtins.list"},
    "SetNode": {"builtins.set", "builtins.frozenset"},
    "TupleNode": {"builtins.tuple", "sklearn.impute._iterative._ImputerTriplet"},
    "SliceNode": {"builtins.slice"},
    "JsonNode": {"builtins.str"},
    "BytesNode": {"builtins.bytes"},
    "BytearrayNode": {"builtins.bytearray"},
    "DTypeNode": {"numpy.dtype"},
    "RandomStateNode": {"numpy.random.mtrand.RandomState"},
    "RandomGeneratorNode": {"numpy.random._generator.Generator"},
    "TreeNode": {"sklearn.tree._tree.Tree"},
    "NdArrayNode": {"numpy.ndarray", *(f"numpy.{name}" for name in permitted.NUMPY.split())},
    "SparseMatrixNode": {
        f"scipy.sparse._{kind}.{kind}_{form}" for kind in ("csr", "csc") for form in ("matrix", "array")
    },
    "LossNode": {f"{module}.{name}" for module, name in safe_types.FUNCTIONS if module.startswith("sklearn.")},
}


def _named_constants() -> tuple[set[str], set[str]]:
    """Names that may stand as a type, and as a function."""
    types = {f"{module}.{name}" for module, name in safe_types.CONSTANTS if module in ("builtins", "numpy")}
    unused = {f"{module}.{name}" for module, name in safe_types.CONSTANTS if module.startswith(("sklearn.", "scipy."))}
    umath = {f"numpy._core._multiarray_umath.{name}" for name in permitted.UFUNCS.split()}
    ufuncs = {f"numpy.{name}" for name in permitted.UFUNCS.split()}
    return {*types, "collections.OrderedDict"} - ufuncs, unused | umath | ufuncs


TYPES, FUNCTIONS = _named_constants()
INSTANCES = {f"{module}.{name}": kind for (module, name), kind in safe_types.CLASSES.items()}
# Search trees and their distances are grown anew after loading; `soundness.py` does.
GROWN_ANEW = {
    f"{module}.{name}"
    for module, listed in permitted.UNUSED.items()
    for name in listed.split()
    if module.startswith(("sklearn.neighbors.", "sklearn.metrics.", "sklearn.model_selection."))
}
NAMES = {**PLAIN, "TypeNode": TYPES, "FunctionNode": FUNCTIONS, "ObjectNode": {*INSTANCES, *GROWN_ANEW}}


def read_skops(file: IO[bytes]) -> tuple[Any, str]:
    """The object, and the scikit-learn version it was saved with ("" unknown).

    Raises `RefusedPickle` for what is not permitted, ValueError, KeyError or `zipfile.BadZipFile` for a broken file.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        total = sum(info.file_size for info in members.values())
        if len(members) != len(archive.infolist()) or total > GROWTH * size + 64 * 1024**2:
            raise ValueError("the file has two parts of one name, or unpacks to far more than its size")
        if SCHEMA not in members or members[SCHEMA].file_size > MAX_SCHEMA_BYTES:
            raise ValueError("the file has no schema, or one over the limit")
        schema = json.loads(archive.read(SCHEMA))
        if type(schema) is not dict or schema.get("protocol") != PROTOCOL or schema["protocol"] is True:
            # Older forms have the same names of parts for other content.
            raise ValueError(f"it was saved by another version of skops than {skops.__version__}, in another form")
        walk = Walk(archive)
        walk.node(schema, 0)
        copy = _copy(archive, schema, walk.files)
    return skops.io.load(copy, trusted=sorted(walk.names)), walk.version


def _copy(archive: zipfile.ZipFile, schema: Node, files: set[str]) -> io.BytesIO:
    """The checked schema and the files that it names, and nothing else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(files):
            target.writestr(name, archive.read(name))
        target.writestr(SCHEMA, json.dumps(schema))
    buffer.seek(0)
    return buffer


class Walk:
    """Goes through a schema, refuses what is not permitted and collects what it met."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names: set[str] = set()
        self.files: set[str] = set()
        self.version = ""

    def node(self, node: Any, depth: int) -> None:
        """Check `node` and what it holds; takes its id away."""
        if type(node) is not dict or depth > DEEPEST:
            raise ValueError("the schema has a part that is no node, or is nested too deeply")
        loader, name = node.get("__loader__"), f"{node.get('__module__')}.{node.get('__class__')}"
        if type(loader) is not str or loader not in NAMES:
            raise RefusedPickle(str(loader)[:100], "is a kind of part that no model needs")
        if name not in NAMES[loader]:
            raise RefusedPickle(name[:200], "is not on the list of what a model may be made of")
        node.pop("__id__", None)
        self.names.add(name)
        if "file" in node:
            self.files.add(str(node["file"]))
        if loader == "ObjectNode":
            self._object(node, name)
        if loader == "RandomGeneratorNode":
            self._generator(node)
        for part in _parts_of(node, loader):
            self.node(part, depth + 1)

    def _object(self, node: Node, name: str) -> None:
        kind = INSTANCES.get(name)
        state = _state_of(node)
        if kind is None or state is None:
            return
        for key in state:
            if key.startswith("__") or callable(getattr(kind, key, None)):
                raise RefusedPickle(f"{name}.{key}", "would hide a method")
        if name == "xgboost.core.Booster":
            self._xgboost(state)
        if name == "lightgbm.basic.Booster":
            self._lightgbm(state)
        version = state.get("_sklearn_version")
        if version is not None and name.startswith("sklearn.") and version.get("__loader__") == "JsonNode":
            self.version = self.version or str(json.loads(version["content"]))[:50]

    def _xgboost(self, state: Node) -> None:
        """Its bytes are checked before XGBoost's reader sees them."""
        handle = state.get("handle", {})
        if not state.keys() <= XGBOOST_STATE or handle.get("__loader__") != "BytearrayNode":
            raise ValueError("a booster has other parts than XGBoost's")
        check_xgboost(self._archive.read(str(handle["file"])))

    def _lightgbm(self, state: Node) -> None:
        """Its text is checked before LightGBM's reader sees it."""
        text = state.get("_handle", {})
        network = state.get("_network", {})
        if not state.keys() <= LIGHTGBM_STATE or {text.get("__loader__"), network.get("__loader__")} != {"JsonNode"}:
            raise ValueError("a booster has other parts than LightGBM's")
        if json.loads(network["content"]) is not False:
            raise ValueError("a booster over a network is not taken")
        check_lightgbm(str(json.loads(text["content"])))

    def _generator(self, node: Node) -> None:
        """The generator's own name stands as text in its state, and skops calls what it names."""
        said = node["content"]["bit_generator"]["content"]["bit_generator"]
        if json.loads(said["content"]) not in {"MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"}:
            raise RefusedPickle("numpy.random", "is asked for something that is no generator")


def _state_of(node: Node) -> Node | None:
    """The attributes of an object, by name; None where its state is no dictionary."""
    content = node.get("content")
    if type(content) is not dict or content.get("__loader__") != "DictNode":
        return None
    inner = content.get("content")
    return inner if type(inner) is dict else None


def _parts_of(node: Node, loader: str) -> Iterator[Any]:
    """The nodes within a node."""
    content = node.get("content")
    if loader in ("JsonNode", "SliceNode"):
        if loader == "JsonNode" and type(content) is not str:
            raise ValueError("a value is not written as JSON")
        return
    if loader == "ObjectNode":
        yield from [] if content is None else [content]
    elif loader in ("TreeNode", "LossNode"):
        yield from (content, node["__reduce__"]["args"])
    elif loader in ("RandomStateNode", "DTypeNode"):
        yield content
    elif loader in ("DictNode", "DefaultDictNode", "RandomGeneratorNode"):
        yield from content.values()  # type: ignore[union-attr]
        yield from [node["key_types"]] if loader == "DictNode" else []
    elif isinstance(content, list):
        yield from content
        yield from [node["shape"]] if node.get("type") == "json" else []
