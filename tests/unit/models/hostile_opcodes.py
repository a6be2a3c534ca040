"""Pickles that run code as soon as a plain loader opens them: by every opcode that can make or change something."""

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import sklearn

from tests.trained_models import trained
from tests.unit.models.hostile_assembly import VARIABLE, Canary, Name, Raw, built, call, named, pickled, push
from tests.unit.models.hostile_files import Calls

Make = Callable[[Canary], bytes]

SYSTEM = named("os.system")
LINK = named("sklearn._loss.link.HalfLogitLink")
TREE = named("sklearn.tree._classes.DecisionTreeClassifier")


def _text_global(canary: Canary) -> bytes:
    return f"cos\nsystem\n(S'{'touch'} {canary.path}'\ntR.".encode()


def _python_2(canary: Canary) -> bytes:
    return b"\x80\x02c__builtin__\neval\n" + push((canary.code,)) + b"R."


def _instance(canary: Canary) -> bytes:
    return b"(" + push(canary.command) + b"ios\nsystem\n."


def _object(canary: Canary) -> bytes:
    return b"(" + push(SYSTEM) + push(canary.command) + b"o."


def _new_object(canary: Canary) -> bytes:
    arguments = (str(canary.path), "uint8", "w+", 0, (1,))
    return pickled(Raw(push(named("numpy.memmap")) + push(arguments) + b"\x81"))


def _new_object_ex(canary: Canary) -> bytes:
    arguments = push((str(canary.path),)) + push({"mode": "w+", "shape": (1,)})
    return pickled(Raw(push(named("numpy.memmap")) + arguments + b"\x92"))


def _extension(code: bytes) -> Make:
    """The extension registry, which the file itself fills first."""

    def make(canary: Canary) -> bytes:
        number = int.from_bytes(code[1:], "little")
        add = call(named("copyreg.add_extension"), "os", "system", number)
        return pickled(add, Raw(code + push((canary.command,)) + b"R"))

    return make


def _dotted(canary: Canary) -> bytes:
    """STACK_GLOBAL follows dots from protocol 4 on: from a permitted module to whatever it imports."""
    return pickled(call(Name("sklearn.tree._classes", "np.lib._utils_impl.sys.modules.get"), "os"))


def _dotted_system(canary: Canary) -> bytes:
    return pickled(call(Name("joblib.numpy_pickle", "os.system"), canary.command))


def _own_setstate(canary: Canary) -> bytes:
    """The first BUILD plants the method that the second one calls."""
    return pickled(built(TREE, {"__setstate__": SYSTEM}, canary.command))


def _slots_state(canary: Canary) -> bytes:
    return pickled(built(LINK, (None, {"__class__": named("subprocess.Popen")})))


def _slots_method(canary: Canary) -> bytes:
    return pickled(built(LINK, (None, {"__setstate__": SYSTEM}), canary.command))


def _state_of_the_environment(canary: Canary) -> bytes:
    """BUILD with a plain state updates the `__dict__` of whatever it gets."""
    return pickled(Raw(push(named("os.environ")) + push({"_data": {VARIABLE.encode(): b"1"}}) + b"b"))


def _set_items(canary: Canary) -> bytes:
    return pickled(Raw(push(named("os.environ")) + b"(" + push(VARIABLE) + push("1") + b"u"))


def _set_item(canary: Canary) -> bytes:
    return pickled(Raw(push(named("os.environ")) + push(VARIABLE) + push("1") + b"s"))


def _append(canary: Canary) -> bytes:
    return pickled(Raw(push(named("sys.path")) + push(str(canary.path)) + b"a"))


def _appends(canary: Canary) -> bytes:
    return pickled(Raw(push(named("sys.path")) + b"(" + push(str(canary.path)) + b"e"))


def _add_items(canary: Canary) -> bytes:
    """ADDITEMS calls `add` of whatever it finds."""
    state = {"_sklearn_version": sklearn.__version__}
    return pickled(Raw(built(TREE, state).data + b"(" + push(1) + b"\x90"))


def _persistent(canary: Canary) -> bytes:
    return b"P" + canary.command.encode() + b"\n."


def _binary_persistent(canary: Canary) -> bytes:
    return pickled(Raw(push(call(SYSTEM, canary.command)) + b"Q"))


def _next_buffer(canary: Canary) -> bytes:
    return b"\x80\x05\x97\x98."


def _memo_of_a_name(canary: Canary) -> bytes:
    """The name is made early, kept in the memo, and called from there."""
    return pickled(Raw(push(SYSTEM) + b"q\x05"), Raw(b"h\x05" + push((canary.command,)) + b"R"))


def _long_memo(canary: Canary) -> bytes:
    return pickled(Raw(push(SYSTEM) + b"r\xff\xff\x00\x00"), Raw(b"j\xff\xff\x00\x00" + push((canary.command,)) + b"R"))


def _dup(canary: Canary) -> bytes:
    return pickled(Raw(push(SYSTEM) + b"20" + push((canary.command,)) + b"R"))


def _within_a_model(canary: Canary) -> bytes:
    model = pickle.loads(pickle.dumps(trained("tree").estimator))
    model.random_state = Calls(exec, canary.code)
    return pickle.dumps(model)


def _in_joblib(canary: Canary) -> bytes:
    out = io.BytesIO()
    joblib.dump({"model": Calls(exec, canary.code), "array": np.arange(9.0)}, out)
    return out.getvalue()


def _object_array(compress: Any) -> Make:
    def make(canary: Canary) -> bytes:
        model = pickle.loads(pickle.dumps(trained("tree").estimator))
        model.feature_names_in_ = np.array([Calls(eval, canary.code), "b", "c", "d"], dtype=object)
        out = io.BytesIO()
        joblib.dump(model, out, compress=compress)
        return out.getvalue()

    return make


def _raw_object_array(canary: Canary) -> bytes:
    return pickle.dumps(np.array([Calls(eval, canary.code)], dtype=object), protocol=2)


def _array_of_a_subclass(canary: Canary) -> bytes:
    kind = named("numpy.memmap")
    state = {"subclass": kind, "shape": (1,), "order": "C", "dtype": named("numpy.float64"), "allow_mmap": True}
    return pickled(built(named("joblib.numpy_pickle.NumpyArrayWrapper"), state))


def _legacy_wrapper(canary: Canary) -> bytes:
    """joblib before 0.10 kept arrays in files beside, which a reader would open."""
    return pickled(built(named("joblib.numpy_pickle.NDArrayWrapper"), {"filename": str(canary.path), "subclass": None}))


def _legacy_zipped_wrapper(canary: Canary) -> bytes:
    kind = named("joblib.numpy_pickle.ZNDArrayWrapper")
    return pickled(built(kind, {"filename": "/etc/hostname", "init_args": (), "state": ()}))


def _text_string(canary: Canary) -> bytes:
    """STRING is read with `ast`-like escapes; the name comes from it."""
    return b"S'os'\nS'system'\n\x93(" + push(canary.command) + b"tR."


def _after_the_end(canary: Canary) -> bytes:
    return pickle.dumps(trained("tree").estimator) + pickled(call(SYSTEM, canary.command))


def _before_an_honest_one(canary: Canary) -> bytes:
    """What is made and dropped before the model has run all the same."""
    honest = pickle.dumps(trained("tree").estimator, protocol=4)
    return b"\x80\x04" + push(call(SYSTEM, canary.command)) + b"0" + honest[2:]


OPCODES: dict[str, Make] = {
    "GLOBAL": _text_global,
    "INST": _instance,
    "OBJ": _object,
    "NEWOBJ": _new_object,
    "NEWOBJ_EX": _new_object_ex,
    "EXT1": _extension(b"\x82\xf0"),
    "EXT2": _extension(b"\x83" + struct.pack("<H", 0xF001)),
    "EXT4": _extension(b"\x84" + struct.pack("<i", 0x70000001)),
    "dotted to sys.modules": _dotted,
    "dotted to os.system": _dotted_system,
    "BUILD plants __setstate__": _own_setstate,
    "GLOBAL of Python 2": _python_2,
    "BUILD slots __class__": _slots_state,
    "BUILD slots __setstate__": _slots_method,
    "BUILD of os.environ": _state_of_the_environment,
    "SETITEMS": _set_items,
    "SETITEM": _set_item,
    "APPEND": _append,
    "APPENDS": _appends,
    "ADDITEMS": _add_items,
    "PERSID": _persistent,
    "BINPERSID": _binary_persistent,
    "NEXT_BUFFER": _next_buffer,
    "memo": _memo_of_a_name,
    "long memo": _long_memo,
    "DUP": _dup,
    "STRING": _text_string,
    "within a model": _within_a_model,
    "within joblib": _in_joblib,
    "object array": _object_array(0),
    "object array in gzip": _object_array(("gzip", 1)),
    "object array in xz": _object_array(("xz", 1)),
    "object array in zlib": _object_array(("zlib", 1)),
    "raw object array": _raw_object_array,
    "array of a subclass": _array_of_a_subclass,
    "joblib's old wrapper": _legacy_wrapper,
    "joblib's old zipped wrapper": _legacy_zipped_wrapper,
    "after the end": _after_the_end,
    "before an honest model": _before_an_honest_one,
}

SILENT = frozenset(
    {
        *("dotted to sys.modules", "BUILD slots __class__", "ADDITEMS", "PERSID", "NEXT_BUFFER"),
        *("array of a subclass", "joblib's old wrapper", "joblib's old zipped wrapper", "after the end"),
    }
)
