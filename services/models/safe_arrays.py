"""Arrays and their types out of an uploaded pickle, with every size checked before NumPy sees it.

All functions raise ValueError for what no honest file holds.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

CODE = re.compile(r"[biufSUOV]\d{1,8}|b1|\?")
MAX_ITEMS = 2**31
MAX_DIMENSIONS = 8
CHUNK = 1024**2

Array = np.ndarray[Any, Any]
DType = np.dtype[Any]
Read = Callable[[int], bytes]


class ArrayWrapper:
    """Stands for joblib's `NumpyArrayWrapper`; the array's bytes follow it in the file."""

    shape: tuple[int, ...]
    order: str
    dtype: DType
    aligned: bool

    def take_state(self, state: object) -> None:
        """What joblib wrote of the array."""
        fields = {"subclass", "shape", "order", "dtype", "allow_mmap"}
        if type(state) is not dict or not fields <= state.keys() <= fields | {"numpy_array_alignment_bytes"}:
            raise ValueError("an array has other fields than joblib writes")
        if state["subclass"] is not np.ndarray or state["order"] not in ("C", "F"):
            raise ValueError("an array is not a plain one")
        if state.get("numpy_array_alignment_bytes") not in (None, 16):
            raise ValueError("an array has an alignment that joblib does not use")
        self.aligned = state.get("numpy_array_alignment_bytes") is not None
        self.shape, self.dtype, self.order = _shape(state["shape"]), _plain_dtype(state["dtype"]), state["order"]

    def read(self, read: Read) -> Array:
        """The array from the bytes that follow; not for object arrays."""
        if self.aligned:
            padding = int.from_bytes(_exactly(read, 1), "little")
            _exactly(read, padding)
        data = bytearray()
        missing = math.prod(self.shape) * self.dtype.itemsize
        while missing:
            part = _exactly(read, min(missing, CHUNK))
            data += part
            missing -= len(part)
        return native(np.frombuffer(data, self.dtype).reshape(self.shape, order=_order(self.order)))


def dtype_of(code: object, align: object, copy: object) -> DType:
    """`numpy.dtype` with the arguments that pickle gives it."""
    if type(code) is not str or not CODE.fullmatch(code) or (align, copy) not in ((False, True), (True, True)):
        raise ValueError(f"the array type {code!r} is not permitted")
    # NumPy gives shared objects for plain types, and the BUILD that follows must not change those.
    return np.dtype(code, align=bool(align), copy=True)


def set_dtype_state(dtype: DType, state: object) -> None:
    """BUILD of a dtype: only a state that NumPy itself would write for such a type."""
    if type(state) is not tuple or len(state) != 8 or state[1] not in ("<", ">", "|", "="):
        raise ValueError("an array type has a state of another form")
    honest = _structured(dtype, state) if dtype.kind == "V" else dtype
    if state[1] in ("<", ">"):
        honest = honest.newbyteorder(state[1])
    if honest.__reduce__()[2] != state:
        raise ValueError("an array type says other things of itself than NumPy would")
    dtype.__setstate__(state)  # type: ignore[attr-defined]


def empty_array(kind: object, shape: object, code: object) -> Array:
    """What NumPy's `_reconstruct` starts with."""
    if kind is not np.ndarray or shape != (0,) or code not in (b"b", "b"):
        raise ValueError("an array is not begun as NumPy begins it")
    return np.empty(0, np.int8)


def set_array_state(array: Array, state: object) -> None:
    """BUILD of an array that `empty_array` began."""
    if type(state) is not tuple or len(state) != 5 or state[0] != 1 or type(state[3]) is not bool:
        raise ValueError("an array has a state of another form")
    shape, dtype, data = _shape(state[1]), _plain_dtype(state[2]), state[4]
    items = math.prod(shape)
    if dtype.kind == "O":
        honest = type(data) is list and len(data) == items
    else:
        honest = type(data) is bytes and len(data) == items * dtype.itemsize
    if not honest:
        raise ValueError("an array's data have another size than its shape")
    array.__setstate__(state)


def array_from_buffer(data: object, dtype: object, shape: object, order: object) -> Array:
    """NumPy's `_frombuffer`, as pickle protocol 5 uses it."""
    kind, sizes = _plain_dtype(dtype), _shape(shape)
    if not isinstance(data, bytes | bytearray) or kind.kind == "O":
        raise ValueError("an array's data are not bytes")
    if len(data) != math.prod(sizes) * kind.itemsize:
        raise ValueError("an array's data have another size than its shape")
    return native(np.frombuffer(bytearray(data), kind).reshape(sizes, order=_order(order)))


def scalar(dtype: object, data: object = b"") -> Any:
    """NumPy's `scalar`."""
    kind = _plain_dtype(dtype)
    if kind.kind in "OV" or type(data) is not bytes or len(data) != kind.itemsize:
        raise ValueError("a number's data have another size than its type")
    return np.frombuffer(data, kind)[0]


def native(array: Array) -> Array:
    """In this machine's byte order, as the compiled libraries expect it."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _structured(dtype: DType, state: tuple[Any, ...]) -> DType:
    names, fields, size = state[3], state[4], state[5]
    if type(names) is not tuple or type(fields) is not dict or set(names) != set(fields) or size != dtype.itemsize:
        raise ValueError("a record's type has a state of another form")
    places = [fields[name] for name in names]
    if any(len(place) != 2 or _plain_dtype(place[0]).kind in "OV" for place in places):
        raise ValueError("a record holds what is no number")
    layout = {
        "names": list(names),
        "formats": [place[0] for place in places],
        "offsets": [int(place[1]) for place in places],
        "itemsize": size,
    }
    # Whether the record was laid out aligned is one of NumPy's flags (NPY_ALIGNED_STRUCT, 0x80).
    return np.dtype(layout, align=bool(int(state[7]) & 0x80))  # type: ignore[call-overload, no-any-return]


def _plain_dtype(dtype: object) -> DType:
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biufSUOV":
        raise ValueError("an array's type is not permitted")
    if dtype.kind == "V" and dtype.names is None:
        raise ValueError("an array of raw bytes or of arrays is not permitted")
    return dtype


def _shape(shape: object) -> tuple[int, ...]:
    if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
        raise ValueError("an array's shape is not permitted")
    sizes = tuple(int(size) for size in shape if isinstance(size, int | np.integer))
    if len(sizes) != len(shape) or any(size < 0 for size in sizes) or math.prod(sizes) > MAX_ITEMS:
        raise ValueError("an array's shape is not permitted")
    return sizes


def _order(order: object) -> Any:
    if order not in ("C", "F"):
        raise ValueError("an array's order is not permitted")
    return order


def _exactly(read: Read, size: int) -> bytes:
    data = read(size)
    if len(data) != size:
        raise ValueError("the file ends within an array")
    return data
