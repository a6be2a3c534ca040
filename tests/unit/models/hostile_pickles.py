"""Pickles of permitted names only, put together as no pickler would: to hide, to crash a reader, to eat the machine."""

import pickle
import struct
from collections.abc import Callable
from typing import Any

from tests.trained_models import trained
from tests.unit.models.hostile_assembly import Raw, built, call, named, pickled, push

Make = Callable[[], bytes]

TREE = named("sklearn.tree._classes.DecisionTreeClassifier")
LINK = named("sklearn._loss.link.HalfLogitLink")
DTYPE = named("numpy.dtype")
SCALAR = named("numpy._core.multiarray.scalar")
FLOAT64 = Raw(push(call(DTYPE, "f8", False, True)) + push((3, "<", None, None, None, -1, -1, 0)) + b"b")
ARRAY = call(named("numpy._core.multiarray._reconstruct"), named("numpy.ndarray"), (0,), b"b")


def _raw(*parts: bytes) -> Make:
    return lambda: pickled(Raw(b"".join(parts)))


def _made(*values: Any) -> Make:
    return lambda: pickled(*values)


def _wide(code: bytes, size: int) -> bytes:
    return code + struct.pack("<Q", size)


def _wrapper(shape: tuple[int, ...]) -> Make:
    """An array that joblib says stands behind, of which there is nothing."""
    state = {"subclass": named("numpy.ndarray"), "shape": shape, "order": "C", "dtype": FLOAT64, "allow_mmap": True}
    return lambda: pickled(built(named("joblib.numpy_pickle.NumpyArrayWrapper"), state))


def _lying_state(shape: tuple[int, ...], data: bytes) -> Make:
    """BUILD of an array whose bytes do not fill its shape."""
    return lambda: pickled(Raw(push(ARRAY) + push((1, shape, FLOAT64, False, data)) + b"b"))


def _deep_key() -> bytes:
    """Python hashes tuples within tuples without counting how deep it is."""
    return pickled(Raw(b"}K\x01" + b"\x85" * 300_000 + b"K\x01s"))


def _memo_bomb() -> bytes:
    """Each list holds the one before ten times over."""
    layers = b"".join(b"(" + (b"h" + bytes([place])) * 10 + b"lq" + bytes([place + 1]) for place in range(40))
    return pickled(Raw(b"]q\x00" + layers), built(named("sklearn.pipeline.Pipeline"), {"steps": Raw(b"h\x28")}))


PICKLES: dict[str, Make] = {
    "an estimator is called": _made(call(TREE)),
    "a ufunc is called": _made(call(named("numpy.exp"), 1)),
    "a type is called": _made(call(named("builtins.list"), [1])),
    "NEWOBJ with arguments": _raw(push(TREE), push((1,)), b"\x81"),
    "NEWOBJ of an array": _raw(push(named("numpy.ndarray")), push((1,)), b"\x81"),
    "NEWOBJ of a function": _raw(push(named("_codecs.encode")), b")\x81"),
    "NEWOBJ_EX of an estimator": _raw(push(TREE), b")}\x92"),
    "INST of an estimator": _raw(b"(isklearn.tree._classes\nDecisionTreeClassifier\n"),
    "OBJ of an estimator": _raw(b"(", push(TREE), b"o"),
    "state of a class": _raw(push(TREE), push({"predict": 1}), b"b"),
    "state of a function": _raw(push(named("_codecs.encode")), push({"make": TREE}), b"b"),
    "state of a ufunc": _raw(push(named("numpy.exp")), push({"reduce": TREE}), b"b"),
    "state of a list": _raw(b"]", push({"append": TREE}), b"b"),
    "slots of an estimator": _made(built(TREE, (None, {"max_depth": 1}))),
    "a hidden method": _made(built(TREE, {"predict_proba": named("builtins.list")})),
    "a hidden __class__": _made(built(LINK, {"__class__": TREE})),
    "a hidden __dict__": _made(built(LINK, {"__dict__": {"inverse": named("builtins.list")}})),
    "a hidden __setstate__": _made(built(LINK, {"__setstate__": named("builtins.list")}, {})),
    "items of an estimator": _raw(built(TREE, {}).data, b"(", push(1), push(2), b"u"),
    "an item of an array": _raw(push(ARRAY), push(1), push(2), b"s"),
    "entries of an array": _raw(push(ARRAY), b"(", push(1), b"e"),
    "members of a dictionary": _raw(b"}(", push(1), b"\x90"),
    "a set of tuples": _made(call(named("builtins.set"), [((1,), 2)])),
    "encoding to anything": _made(call(named("_codecs.encode"), "x", "zlib_codec")),
    "a memo that is empty": _raw(b"h\x07"),
    "a stack that is empty": lambda: b"\x80\x0400.",
    "a mark that is missing": lambda: b"\x80\x04t.",
    "no end": lambda: b"\x80\x04N",
    "a frame without end": lambda: b"\x80\x04" + _wide(b"\x95", 2**60) + b"N.",
    "bytes without end": lambda: b"\x80\x04" + _wide(b"\x8e", 2**62) + b"N.",
    "text without end": lambda: b"\x80\x04" + _wide(b"\x8d", 2**62) + b"N.",
    "a bytearray without end": lambda: b"\x80\x05" + _wide(b"\x96", 2**45) + b"N.",
    "a number without end": lambda: b"\x80\x04\x8b\xff\xff\xff\x7f" + b"N.",
    "a number of many digits": lambda: b"L" + b"9" * 1_000_000 + b"L\n.",
    "lists within lists": lambda: b"\x80\x04" + b"]" * 300_000 + b"a" * 299_999 + b".",
    "tuples within tuples as a key": _deep_key,
    "lists that double": _memo_bomb,
    "array: a terabyte beside": _wrapper((1_000_000_000_000,)),
    "array: more than the file holds": _wrapper((200_000_000,)),
    "array: negative": _wrapper((-1,)),
    "array: forty dimensions": _wrapper((1,) * 40),
    "array: shorter than its shape": _lying_state((1000,), b"\x00" * 8),
    "array: negative shape": _lying_state((-1,), b""),
    "array: overflowing shape": _lying_state((2**40, 2**40), b""),
    "type: object as a number": _made(
        Raw(push(call(DTYPE, "f8", False, True)) + push((3, "|", None, None, None, -1, -1, 63)) + b"b")
    ),
    "type: fields outside": _made(
        Raw(
            push(call(DTYPE, "V8", False, True))
            + push((3, "|", None, ("a",), {"a": (call(DTYPE, "f8", False, True), 4_000_000)}, 8, 1, 16))
            + b"b"
        )
    ),
    "type: by a comma list": _made(call(DTYPE, "f8,O", False, True)),
    "number: of an object": _made(call(SCALAR, call(DTYPE, "O", False, True), b"\x01" * 8)),
    "number: too short": _made(call(SCALAR, call(DTYPE, "f8", False, True), b"\x01")),
    "tree: of no features": _made(call(named("sklearn.tree._tree.Tree"), 0, ARRAY, 1)),
    "tree: of many outputs": _made(call(named("sklearn.tree._tree.Tree"), 4, ARRAY, 2**31)),
    "more after the end": lambda: pickle.dumps(trained("tree").estimator) + b"N.",
}
