"""An unpickler that makes only what tree models are made of; runs in the confined child and nowhere else.

RefusedPickle
└── (one kind: `module` and `name` of the first thing refused, `detail` in words)
"""

import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, ClassVar

import lightgbm
import numpy as np
import xgboost
from sklearn.base import BaseEstimator
from sklearn.tree._tree import Tree
from sklearn.utils import Bunch

from services.models import boosters, safe_types
from services.models.safe_arrays import ArrayWrapper, native, set_array_state, set_dtype_state
from services.models.trees import check_tree_state

RESTORED = {xgboost.Booster: boosters.restore_xgboost, lightgbm.Booster: boosters.restore_lightgbm}
NOT_SO = "is made in a way that is not permitted"
DEEPEST = 4  # object arrays within object arrays

OPCODES = {opcode.code.encode("latin1"): opcode.name for opcode in pickletools.opcodes}
# Extension registry, objects by outside name, old ways to make instances, buffers outside the file.
REFUSED_OPCODES = tuple(
    code
    for code, name in OPCODES.items()
    if name in {"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "INST", "OBJ", "NEXT_BUFFER", "READONLY_BUFFER"}
)


class RefusedPickle(Exception):
    """The file holds what is not let in; `named` is "module.name" or an opcode."""

    def __init__(self, named: str, detail: str) -> None:
        super().__init__(named, detail)
        self.named = named
        self.detail = detail


class SafeUnpickler(pickle._Unpickler):
    """Python's own unpickler, opcode by opcode, with each step that can make or change an object checked."""

    dispatch: ClassVar[dict[int, Callable[..., Any]]] = dict(pickle._Unpickler.dispatch)

    # Of the parent, which its type stubs leave out.
    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: IO[bytes], depth: int = 0) -> None:
        """Read from `file`, which must be positioned at a pickle; `depth` counts object arrays around it."""
        super().__init__(file)
        self._file = file
        self._depth = depth
        self.arrays_beside = 0  # how many arrays joblib wrote beside the pickle
        self.versions: set[str] = set()  # of scikit-learn, as the estimators were saved with

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a permitted name."""
        found = safe_types.found(module, name)
        if found is None:
            raise RefusedPickle(f"{module}.{name}", "is not on the list of what a model may be made of")
        return found

    def get_extension(self, code: int) -> Any:
        """Refused."""
        raise RefusedPickle("EXT", "is an entry of Python's extension registry")

    def persistent_load(self, pid: Any) -> Any:
        """Refused."""
        raise RefusedPickle("PERSID", "refers to an object outside the file")

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not isinstance(function, safe_types.Function) or type(arguments) is not tuple:
            raise RefusedPickle(_named(function), "is called, which is not permitted")
        self.stack[-1] = function.make(*arguments)

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        kind = self.stack.pop()
        self.append(_new(kind, arguments))

    dispatch[pickle.NEWOBJ[0]] = load_newobj

    def load_newobj_ex(self) -> None:
        raise RefusedPickle("NEWOBJ_EX", "makes an object in a way that no model needs")

    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, np.dtype):
            set_dtype_state(target, state)
        elif type(target) not in safe_types.BUILDABLE:
            raise RefusedPickle(_named(type(target)), "is given a state, which is not permitted")
        elif type(target) in RESTORED:
            RESTORED[type(target)](target, state)
        elif isinstance(target, ArrayWrapper):
            target.take_state(state)
            self.stack[-1] = self._array(target)
        elif isinstance(target, np.ndarray):
            set_array_state(target, state)
        elif isinstance(target, Tree):
            check_tree_state(target, state)
            target.__setstate__(state)
        elif not isinstance(target, safe_types.Inert | Bunch):
            self._set_state(target, state)

    dispatch[pickle.BUILD[0]] = load_build

    def _set_state(self, target: Any, state: object) -> None:
        """Attributes of a permitted object; none may hide one of its methods."""
        kind = type(target)
        if type(state) is not dict or not all(type(key) is str for key in state):
            raise RefusedPickle(_named(kind), "is given a state of another form than its own")
        for key, value in state.items():
            if key.startswith("__") or callable(getattr(kind, key, None)):
                raise RefusedPickle(f"{_named(kind)}.{key}", "would hide a method")
            if isinstance(getattr(kind, key, None), property) and not issubclass(kind, BaseEstimator):
                raise RefusedPickle(f"{_named(kind)}.{key}", "would run the code behind a property")
            if isinstance(value, np.ndarray):
                state[key] = native(value)
        version = state.get("_sklearn_version")
        if type(version) is str and kind.__module__.startswith("sklearn."):
            self.versions.add(version[:50])
        if isinstance(target, BaseEstimator):
            target.__setstate__(state)
        else:
            for key, value in state.items():
                object.__setattr__(target, key, value)

    def _array(self, wrapper: ArrayWrapper) -> Any:
        """What joblib wrote behind the wrapper: bytes, or for object arrays a pickle of its own."""
        self.arrays_beside += 1
        if wrapper.dtype.kind != "O":
            return wrapper.read(self._file.read)
        if self._depth >= DEEPEST:
            raise RefusedPickle("numpy.ndarray", "is nested too deeply")
        reader = SafeUnpickler(self._file, self._depth + 1)
        inner = reader.load()
        self.versions |= reader.versions
        if type(inner) is not np.ndarray or inner.dtype.kind != "O" or inner.shape != wrapper.shape:
            raise RefusedPickle(_named(type(inner)), "stands where an array of objects should be")
        return inner

    def load_append(self) -> None:
        value = self.stack.pop()
        _only(list, self.stack[-1]).append(value)

    dispatch[pickle.APPEND[0]] = load_append

    def load_appends(self) -> None:
        items = self.pop_mark()
        _only(list, self.stack[-1]).extend(items)

    dispatch[pickle.APPENDS[0]] = load_appends

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        dict.__setitem__(_dict(self.stack[-1]), key, value)

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        items = self.pop_mark()
        dict.update(_dict(self.stack[-1]), zip(items[::2], items[1::2], strict=True))

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_additems(self) -> None:
        items = self.pop_mark()
        _only(set, self.stack[-1]).update(items)

    dispatch[pickle.ADDITEMS[0]] = load_additems


def _refuse(code: bytes) -> Callable[[SafeUnpickler], None]:
    def load(self: SafeUnpickler) -> None:
        raise RefusedPickle(OPCODES[code], "is a kind of entry that no model needs")

    return load


SafeUnpickler.dispatch.update({code[0]: _refuse(code) for code in REFUSED_OPCODES})


@dataclass(frozen=True, slots=True)
class Read:
    """What one file held, and whether joblib wrote it (arrays beside the pickle)."""

    loaded: Any
    by_joblib: bool
    versions: frozenset[str]  # of scikit-learn, that its estimators were saved with


def load(file: IO[bytes]) -> tuple[Any, bool]:
    """The object, and whether joblib wrote it (arrays beside the pickle).

    Raises `RefusedPickle` for what is not permitted and for bytes after the end; for a broken file what pickle raises.
    """
    read = read_pickle(file)
    return read.loaded, read.by_joblib


def read_pickle(file: IO[bytes]) -> Read:
    """As `load`; an exception that it raises carries the versions seen so far as `versions`."""
    unpickler = SafeUnpickler(file)
    try:
        loaded = unpickler.load()
        if file.read(1):
            raise RefusedPickle("STOP", "is followed by more bytes, which no model has")
    except Exception as error:
        error.versions = frozenset(unpickler.versions)  # type: ignore[attr-defined]
        raise
    return Read(loaded, unpickler.arrays_beside > 0, frozenset(unpickler.versions))


def _new(kind: Any, arguments: object) -> Any:
    """An empty instance of a permitted class; only a named tuple takes its values at once."""
    if not isinstance(kind, type) or type(arguments) is not tuple:
        raise RefusedPickle(_named(kind), NOT_SO)
    if kind is not ArrayWrapper and kind not in safe_types.BUILDABLE - {Tree, np.ndarray}:
        raise RefusedPickle(_named(kind), NOT_SO)
    if issubclass(kind, tuple):
        if len(arguments) != len(kind._fields):  # type: ignore[attr-defined]
            raise RefusedPickle(_named(kind), NOT_SO)
        return tuple.__new__(kind, arguments)
    if arguments:
        raise RefusedPickle(_named(kind), NOT_SO)
    return dict.__new__(kind) if issubclass(kind, dict) else object.__new__(kind)


def _only(kind: type, target: Any) -> Any:
    if type(target) is not kind:
        raise RefusedPickle(_named(type(target)), f"is filled as if it were a {kind.__name__}")
    return target


def _dict(target: Any) -> Any:
    return target if type(target) is Bunch else _only(dict, target)


def _named(thing: Any) -> str:
    kind = thing if isinstance(thing, type) else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"
