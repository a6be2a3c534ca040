"""Hostile files around and beside pickles: compressed streams, archives and skops."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import skops.io

from tests.trained_models import trained

Make = Callable[[], bytes]

BLOCK = 16 * 1024**2
BIG = 2 * 1024**3
ZEROS = b"B" + struct.pack("<I", BLOCK) + bytes(BLOCK)


def _bomb(bits: int) -> Make:
    """Byte strings of 16 MB, 128 of them one after another; deflate lets one block be repeated as it is."""

    def make() -> bytes:
        packer = zlib.compressobj(1, zlib.DEFLATED, bits)
        start = packer.compress(b"\x80\x04") + packer.flush(zlib.Z_FULL_FLUSH)
        block = packer.compress(ZEROS) + packer.flush(zlib.Z_FULL_FLUSH)
        return start + block * (BIG // BLOCK)

    return make


def _honest() -> bytes:
    return pickle.dumps(trained("tree").estimator)


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


COMPRESSED: dict[str, Make] = {
    "bomb in zlib": _bomb(zlib.MAX_WBITS),
    "bomb in gzip": _bomb(zlib.MAX_WBITS | 16),
    "xz that promises gigabytes": lambda: lzma.compress(b"\x80\x04\x8e" + struct.pack("<Q", BIG) + ZEROS, preset=0),
    "gzip in gzip": lambda: gzip.compress(gzip.compress(_honest())),
    "zlib in xz": lambda: lzma.compress(zlib.compress(_honest())),
    "gzip cut off": lambda: _cut(gzip.compress(_honest())),
    "gzip with a wrong sum": lambda: gzip.compress(_honest())[:-8] + bytes(8),
    "bz2 cut off": lambda: _cut(bz2.compress(_honest())),
    "two streams": lambda: gzip.compress(_honest()) * 2,
    "xz that asks for gigabytes": lambda: b"\x5d\x00\x00\x00\xff" + b"\xff" * 8 + bytes(200),
    "a zip of a pickle": lambda: _zipped({"model.pkl": _honest()}),
    "an npz": lambda: _saved(lambda out: np.savez(out, a=np.zeros(3))),
    "an npy": lambda: _saved(lambda out: np.save(out, np.zeros(3))),
    "an npy of objects": lambda: _saved(lambda out: np.save(out, np.array([{}], dtype=object), allow_pickle=True)),
}


def _saved(save: Callable[[Any], None]) -> bytes:
    out = io.BytesIO()
    save(out)
    return out.getvalue()


def _zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    return _saved(lambda out: _write(out, members, compression))


def _write(out: Any, members: dict[str, bytes], compression: int) -> None:
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _skops(change: Callable[[Any], Any] = lambda schema: None, members: dict[str, bytes] | None = None) -> Make:
    """An honest file with its schema changed, and more members."""

    def make() -> bytes:
        with zipfile.ZipFile(io.BytesIO(skops.io.dumps(trained("tree").estimator))) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        schema = json.loads(parts.pop("schema.json"))
        schema = change(schema) or schema
        return _zipped({**parts, **(members or {}), "schema.json": json.dumps(schema).encode()})

    return make


def _attribute(node: Any) -> Callable[[Any], None]:
    """Put `node` where the model has its `max_depth`."""
    return lambda schema: schema["content"]["content"].__setitem__("max_depth", node)


def _node(loader: str, module: str, name: str, **more: Any) -> dict[str, Any]:
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 987, **more}


def _text(value: str) -> dict[str, Any]:
    return _node("JsonNode", "builtins", "str", content=json.dumps(value), is_json=True)


SYSTEM = _node("FunctionNode", "os", "system", content="system")


def _array(**fields: Any) -> Callable[[Any], None]:
    node = _node("NdArrayNode", "numpy", "ndarray", type="numpy")
    return _attribute({**node, **fields})


def _deep(schema: Any) -> Any:
    for _ in range(240):
        schema = _node("ListNode", "builtins", "list", content=[schema])
    return schema


def _npy_of_objects() -> bytes:
    return _saved(lambda out: np.save(out, np.array([{}], dtype=object), allow_pickle=True))


def _npy_claiming_a_terabyte() -> bytes:
    data = _saved(lambda out: np.save(out, np.zeros(1)))
    return data.replace(b"(1,), }             ", b"(1000000000000,), } ")


def _skops_bomb() -> bytes:
    make = _skops(_array(file="bomb.npy"))
    with zipfile.ZipFile(io.BytesIO(make())) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    return _zipped({**parts, "bomb.npy": bytes(300 * 1024**2)}, zipfile.ZIP_DEFLATED)


def _two_schemas() -> bytes:
    data = bytearray(_skops(members={"xchema.json": b"{}"})())
    return bytes(data.replace(b"xchema.json", b"schema.json"))


SKOPS: dict[str, Make] = {
    "a function that runs programs": _skops(_attribute(SYSTEM)),
    "a call of methods": _skops(
        _attribute(_node("OperatorFuncNode", "operator", "methodcaller", attrs=_text("system"), content=_text("x")))
    ),
    "a method of an object": _skops(
        _attribute(_node("MethodNode", "builtins", "method", content={"func": "fit", "obj": SYSTEM}))
    ),
    "a partial": _skops(_attribute(_node("PartialNode", "functools", "partial", content={"func": SYSTEM}))),
    "a type that runs programs": _skops(_attribute(_node("TypeNode", "subprocess", "Popen"))),
    "an object that runs programs": _skops(_attribute(_node("ObjectNode", "subprocess", "Popen", content=None))),
    "a loader of its own": _skops(_attribute(_node("EvilNode", "os", "system"))),
    "a permitted loader, another name": _skops(_attribute(_node("ListNode", "os", "system", content=[]))),
    "a generator that is no generator": _skops(
        _attribute(
            _node(
                "RandomGeneratorNode",
                "numpy.random._generator",
                "Generator",
                content={"bit_generator": {"content": {"bit_generator": _text("default_rng")}}},
            )
        )
    ),
    "a hidden method": _skops(lambda schema: schema["content"]["content"].__setitem__("predict_proba", _text("x"))),
    "a loop of ids": _skops(lambda schema: schema.__setitem__("content", _node("CachedNode", "x", "x", cached=True))),
    "nested without end": _skops(_deep),
    "a file outside": _skops(_array(file="../../../etc/passwd")),
    "a file that is not there": _skops(_array(file="none.npy")),
    "an array of objects": _skops(_array(file="o.npy"), {"o.npy": _npy_of_objects()}),
    "an array of a terabyte": _skops(_array(file="t.npy"), {"t.npy": _npy_claiming_a_terabyte()}),
    "a bomb": _skops_bomb,
    "two parts of one name": _two_schemas,
    "no schema": lambda: _zipped({"x.json": b"{}"}),
    "a schema that is a list": lambda: _zipped({"schema.json": b"[]"}),
    "a schema of brackets": lambda: _zipped({"schema.json": b"[" * 200_000}),
    "a zip that is cut off": lambda: _cut(_skops()()),
    "another kind of object": lambda: skops.io.dumps({"a": 1}),
}  # fmt: skip


HONEST: dict[str, Make] = {"skops": _skops()}
