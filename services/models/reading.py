"""Opens an upload, whatever its format, in the confined child."""

import lzma
import pickle
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, Any

import sklearn

from services.models import containers, kinds, left_out
from services.models.onnx_file import read_onnx
from services.models.refusal import Refusal, said
from services.models.safe_load import RefusedPickle, read_pickle
from services.models.safe_types import elsewhere
from services.models.skops_file import read_skops
from services.models.soundness import check_within
from services.models.uploaded import VERSIONS, Uploaded, from_object

BROKEN = (
    *(pickle.UnpicklingError, EOFError, OSError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(AssertionError, OverflowError, UnicodeError, RecursionError, ImportError, zlib.error, lzma.LZMAError),
    *(struct.error, zipfile.BadZipFile, NotImplementedError, ZeroDivisionError, RuntimeError),
)
SAVE_AGAIN = "Save the fitted model again and upload that file."


@dataclass(frozen=True, slots=True)
class Opened:
    """The model, its format as `Facts` has it, and the versions of the libraries that it was made with."""

    model: Uploaded
    format: str
    libraries: dict[str, str]


def open_upload(file: IO[bytes]) -> Opened:
    """The model in `file`, which is at its start; raises `Refusal`."""
    stream, packed = containers.decompressed(file)
    try:
        kind = containers.kind_of(stream.read(16))
        file.seek(0)
        if kind == "onnx" and not packed:
            return _opened(read_onnx(file), "onnx", {})
        if kind == "skops" and not packed:
            loaded, version = read_skops(file)
            return _opened(_of(loaded, {version}), "skops", _libraries(loaded, {version}))
        if kind != "pickle":
            raise Refusal("unreadable", "the file is neither a pickle, nor a joblib, skops or ONNX file", FORMATS)
        stream, _ = containers.decompressed(file)  # not every stream can go back
        read = read_pickle(stream)
    except RefusedPickle as error:
        raise _not_permitted(error) from error
    except BROKEN as error:
        raise _unreadable(error, getattr(error, "versions", ())) from error
    form = "joblib" if read.by_joblib or packed else "pickle"
    return _opened(_of(read.loaded, read.versions), form, _libraries(read.loaded, read.versions))


FORMATS = (
    "Upload a model saved with joblib.dump, pickle (protocol 2 to 5) or skops.io.dump, or an ONNX model; "
    "archives are not taken."
)


def _opened(model: Uploaded, form: str, libraries: dict[str, str]) -> Opened:
    return Opened(model, form, libraries)


def _of(loaded: Any, versions: Any) -> Uploaded:
    """Sound in its parts, or a `Refusal`."""
    if not kinds.permitted(loaded):
        named = f"{type(loaded).__module__}.{type(loaded).__qualname__}"
        advice = "Upload the fitted model itself, not a container, a scaler or a part of it."
        raise Refusal("not-an-estimator", f"the file holds a {named}", advice)
    try:
        check_within(loaded)
    except BROKEN as error:
        raise _of_another_version("corrupt", said(error), versions, SAVE_AGAIN) from error
    try:
        return from_object(loaded)
    except BROKEN as error:
        detail = f"it is not fitted, or not whole: {said(error)}"
        raise _of_another_version("corrupt", detail, versions, "Fit it and save it again.") from error


def _libraries(loaded: Any, versions: Any) -> dict[str, str]:
    package = type(loaded).__module__.partition(".")[0]
    own = {} if package == "sklearn" else {package: VERSIONS.get(package, "")}
    return {**own, "scikit-learn": ", ".join(sorted(versions)) or sklearn.__version__}


def _not_permitted(error: RefusedPickle) -> Refusal:
    module, _, name = error.named.rpartition(".")
    package = module.partition(".")[0]
    place = elsewhere(module, name)
    versions = getattr(error, "versions", ())
    if place is not None and package in VERSIONS:
        detail = f"{error.named} is called {place} in {package} {VERSIONS[package]}, which this server has"
        return Refusal("library-version-differs", detail, f"Fit and save it with {package} {VERSIONS[package]}.")
    known = left_out.reason(error.named)
    if known is not None:
        return Refusal("type-not-permitted", f"{error.named} {known[0]}, and is not let in", known[1])
    return _of_another_version("type-not-permitted", f"{error.named} {error.detail}", versions, PERMITTED)


PERMITTED = (
    "Models of scikit-learn, XGBoost and LightGBM are let in, with what stands before them in a pipeline; "
    "nothing of the file was run."
)


def _unreadable(error: BaseException, versions: Any) -> Refusal:
    advice = f"Check that the upload is whole. {FORMATS}"
    return _of_another_version("unreadable", f"the file cannot be read as a model: {said(error)}", versions, advice)


def _of_another_version(code: str, detail: str, versions: Any, advice: str) -> Refusal:
    """The refusal, or that of another version of scikit-learn where the file was saved by one."""
    other = sorted(version for version in versions if version and version != sklearn.__version__)
    if not other:
        return Refusal(code, detail, advice)
    ours = sklearn.__version__
    told = f"it was saved by scikit-learn {', '.join(other)}, and this server has {ours}: {detail}"
    return Refusal("library-version-differs", told, f"Fit and save it with scikit-learn {ours}.")
