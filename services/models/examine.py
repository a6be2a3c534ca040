"""The program of the confined child: load an upload, check it, try it, compile it, and say what it is.

Request: JSON. Answer: four bytes of length, JSON, then the compiled file. It refuses by answering, not by raising.
"""

import json
import lzma
import os
import pickle
import struct
import warnings
import zlib
from typing import IO, Any

import numpy as np
import sklearn
import treelite

from services.models import containers, kinds
from services.models.compiled import CompiledForm
from services.models.importance import importance_of
from services.models.safe_load import RefusedPickle, load
from services.models.treelite_scorer import TreeliteScorer

PROBED_SPLITS = 200
TOLERANCE = 1e-6
BROKEN = (
    *(pickle.UnpicklingError, EOFError, OSError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(AssertionError, OverflowError, UnicodeError, RecursionError, zlib.error, lzma.LZMAError, struct.error),
)

Matrix = np.ndarray[Any, Any]


class Refusal(Exception):
    """Why the upload is not let in, as `ModelRefused` has it."""

    def __init__(self, code: str, detail: str, advice: str) -> None:
        super().__init__(code, detail, advice)
        self.code = code
        self.detail = detail
        self.advice = advice


def examine(request: bytes) -> bytes:
    """One upload; the request names the descriptor, the task and the features that the author says it has."""
    order = json.loads(request)
    warnings.simplefilter("ignore")
    try:
        with os.fdopen(os.dup(order["file"]), "rb") as file:
            facts, compiled = _examine(file, order["task"], order["features"])
    except Refusal as refusal:
        facts, compiled = {"refused": [refusal.code, refusal.detail, refusal.advice]}, b""
    text = json.dumps(facts).encode()
    return struct.pack(">I", len(text)) + text + compiled


def _examine(file: IO[bytes], task: str, named: list[str] | None) -> tuple[dict[str, Any], bytes]:
    loaded, form = load_upload(file)
    if not kinds.permitted(loaded):
        raise Refusal(
            "not-an-estimator",
            f"the file holds a {type(loaded).__module__}.{type(loaded).__qualname__}",
            "Upload the fitted scikit-learn model itself, not a container around it.",
        )
    try:
        checked = kinds.check(loaded) if kinds.compiles(loaded) else None
        kinds.check_within(loaded)
    except BROKEN as error:
        raise Refusal("corrupt", _said(error), "Save the fitted model again and upload that file.") from error
    try:
        features = _features(loaded, named)
        _check_task(loaded, task)
    except BROKEN as error:
        raise Refusal("corrupt", f"it is not fitted: {_said(error)}", "Fit it and save it again.") from error
    compiled = _compile(checked, features) if checked else _try_object(loaded, features)
    facts = {
        "estimator": f"{type(loaded).__module__}.{type(loaded).__qualname__}",
        "features": features,
        "trees": checked.trees if checked else 0,
        "format": form,
        "feature_importance": importance_of(loaded, features),
        "libraries": {"scikit-learn": str(vars(loaded).get("_sklearn_version", sklearn.__version__))},
    }
    return facts, compiled


def load_upload(file: IO[bytes]) -> tuple[Any, str]:
    """The object and the name of its format; raises `Refusal`."""
    stream, packed = containers.decompressed(file)
    try:
        head = stream.read(16)
        kind = containers.kind_of(head)
        if kind != "pickle":
            raise _not_a_pickle(kind)
        file.seek(0)
        stream, _ = containers.decompressed(file)  # not every stream can go back
        loaded, joblib_arrays = load(stream)
    except RefusedPickle as error:
        raise Refusal(
            "type-not-permitted",
            f"{error.named} {error.detail}",
            "Only scikit-learn's tree and linear models and pipelines of them are let in; nothing of the file was run.",
        ) from error
    except BROKEN as error:
        advice = "Save the model again with joblib.dump or pickle (protocol 2 to 5) and check that the upload is whole."
        raise Refusal("unreadable", f"the file cannot be read as a model: {_said(error)}", advice) from error
    return loaded, "joblib" if joblib_arrays or packed else "pickle"


def _not_a_pickle(kind: str) -> Refusal:
    if kind in ("skops", "onnx"):
        advice = "Upload the scikit-learn model saved with joblib.dump."
        return Refusal("format-not-supported", f"the file looks like {kind}, which this release does not read", advice)
    advice = "Upload a model saved with joblib.dump or pickle, protocol 2 to 5; archives are not taken."
    return Refusal("unreadable", "the file is neither a pickle nor a joblib file", advice)


def _features(loaded: Any, named: list[str] | None) -> list[str]:
    fitted = getattr(loaded, "feature_names_in_", None)
    own = [str(name) for name in fitted] if type(fitted) is np.ndarray and fitted.ndim == 1 else None
    if own is not None and len(own) != loaded.n_features_in_:
        raise Refusal("corrupt", "the model names another number of features than it has", "Fit and save it again.")
    if own is not None and named is not None and own != named:
        advice = "Leave `features` out of the metadata, or name them as the model was fitted."
        raise Refusal("features-differ", f"the model was fitted with {own}, the metadata say {named}", advice)
    features = own or named
    if features is None:
        advice = "Fit the model with a DataFrame, or name its features in order in the metadata's `features`."
        raise Refusal("features-unnamed", "the model does not know the names of its features", advice)
    if len(features) != loaded.n_features_in_ or len(set(features)) != len(features):
        detail = f"{len(features)} names are given for {loaded.n_features_in_} features, each once"
        raise Refusal(
            "features-differ", detail, "Name each feature of the model once, in the order it was fitted with."
        )
    return features


def _check_task(loaded: Any, task: str) -> None:
    classifier = hasattr(loaded, "predict_proba")
    if task == "spot_price":
        if classifier:
            advice = "Upload a regressor, or set the metadata's `task` to spot_interruption."
            raise Refusal("wrong-task", "a classifier cannot predict a price", advice)
        return
    if not classifier:
        advice = "Upload a classifier, or set the metadata's `task` to spot_price."
        raise Refusal("wrong-task", "a regressor has no probability of an interruption", advice)
    classes = np.asarray(loaded.classes_)
    if classes.dtype.kind not in "biuf" or classes.shape != (2,) or classes.tolist() != [0, 1]:
        advice = "Fit it with the classes 0 (not interrupted) and 1 (interrupted)."
        raise Refusal("wrong-classes", f"its classes are {classes.tolist()}", advice)


def _compile(checked: kinds.Checked, features: list[str]) -> bytes:
    try:
        form = CompiledForm(tuple(features), checked.cast, checked.link, checked.compile())
        scorer = TreeliteScorer(form)
        probe = probe_matrix(checked.splits, len(features))
        want, have = np.asarray(checked.predict(probe), float), scorer.score(probe)
    except (treelite.TreeliteError, NotImplementedError, *BROKEN) as error:
        advice = "This release scores compiled trees only; refit without the option that the message names."
        raise Refusal("does-not-compile", _said(error), advice) from error
    if want.shape != have.shape or not np.isfinite(want).all():
        raise Refusal("corrupt", "its predictions are not finite numbers", "Fit and save it again.")
    difference = np.abs(want - have) / np.maximum(1.0, np.abs(want))
    if difference.max() > TOLERANCE:
        detail = f"the compiled model differs from the original by up to {difference.max():.2g}"
        raise Refusal("does-not-compile", detail, "Report this model's parameters to the server's developers.")
    return form.to_bytes()


def _try_object(loaded: Any, features: list[str]) -> bytes:
    """Nothing is compiled; it must answer on a few made-up rows."""
    rows = np.abs(np.random.default_rng(1).normal(1.0, 2.0, (50, len(features))))
    try:
        scores = np.asarray(kinds.predict(loaded, rows), float)
    except BROKEN as error:
        raise Refusal("corrupt", f"it cannot predict: {_said(error)}", "Fit it and save it again.") from error
    probabilities = hasattr(loaded, "predict_proba")
    sound = scores.shape == (50,) and np.isfinite(scores).all()
    if not sound or (probabilities and (scores.min() < 0 or scores.max() > 1)):
        raise Refusal("corrupt", "its predictions are not finite numbers, one per row", "Fit and save it again.")
    return b""


def probe_matrix(splits: tuple[kinds.Split, ...], width: int) -> Matrix:
    """Rows on and beside a sample of the splits, in both float widths; the other columns near splits of their own."""
    random = np.random.default_rng(20_240_501)
    pools: list[list[float]] = [[] for _ in range(width)]
    for feature, threshold in splits:
        pools[feature].append(threshold)
    chosen = random.permutation(len(splits))[:PROBED_SPLITS]
    rows = [_row(pools, random)]
    for place in chosen:
        feature, threshold = splits[place]
        if not np.isfinite(threshold):
            continue
        base = _row(pools, random)
        for value in beside(threshold):
            row = base.copy()
            row[feature] = value
            rows.append(row)
    return np.array(rows)


def beside(threshold: float) -> list[float]:
    """The threshold and its neighbours as float64 and as float32."""
    narrow = np.float32(threshold)
    low, high = np.float32(-np.inf), np.float32(np.inf)
    exact = [threshold, np.nextafter(threshold, -np.inf), np.nextafter(threshold, np.inf)]
    rounded = [narrow, np.nextafter(narrow, low), np.nextafter(narrow, high)]
    return [float(value) for value in exact + rounded if np.isfinite(value)]


def _row(pools: list[list[float]], random: np.random.Generator) -> Matrix:
    picked = [pool[random.integers(len(pool))] if pool else 0.0 for pool in pools]
    row = np.where(np.isfinite(picked), picked, 0.0)
    return row + random.normal(0.0, 0.1, len(row)) * np.abs(row)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
