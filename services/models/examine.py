"""The program of the confined child: load an upload, check it, try it, compile it, and say what it is.

Request: JSON. Answer: four bytes of length, JSON, then the compiled file. It refuses by answering, not by raising.
"""

import json
import os
import struct
import warnings
from typing import IO, Any

import numpy as np
import treelite

from services.models import kinds
from services.models.compiled import CompiledForm
from services.models.reading import BROKEN, SAVE_AGAIN, Opened, open_upload
from services.models.refusal import Refusal, said
from services.models.treelite_scorer import TreeliteScorer
from services.models.uploaded import Uploaded

PROBED_SPLITS = 200
TOLERANCE = 1e-6

Matrix = np.ndarray[Any, Any]


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
    opened = open_upload(file)
    model = opened.model
    features = _features(model, named)
    _check_task(model, task)
    compiled, obstacle = _compile(model, features)
    if not compiled:
        _try(model, task)
    return _facts(opened, features, obstacle), compiled


def _facts(opened: Opened, features: list[str], obstacle: str) -> dict[str, Any]:
    model = opened.model
    return {
        "estimator": model.estimator[:200],
        "features": features,
        "trees": model.trees.trees if model.trees else 0,
        "format": opened.format,
        "feature_importance": model.importance(features),
        "libraries": opened.libraries,
        "obstacle": obstacle,
    }


def _features(model: Uploaded, named: list[str] | None) -> list[str]:
    own = model.names
    if own is not None and len(own) != model.width:
        raise Refusal("corrupt", "the model names another number of features than it has", "Fit and save it again.")
    if own is not None and named is not None and own != named:
        advice = "Leave `features` out of the metadata, or name them as the model was fitted."
        raise Refusal("features-differ", f"the model was fitted with {own}, the metadata say {named}", advice)
    features = own or named
    if features is None:
        advice = "Fit the model with a DataFrame, or name its features in order in the metadata's `features`."
        raise Refusal("features-unnamed", "the model does not know the names of its features", advice)
    if len(features) != model.width or len(set(features)) != len(features):
        detail = f"{len(features)} names are given for {model.width} features, each once"
        advice = "Name each feature of the model once, in the order it was fitted with."
        raise Refusal("features-differ", detail, advice)
    return features


def _check_task(model: Uploaded, task: str) -> None:
    if task == "spot_price":
        if model.gives in ("probability", "classes"):
            advice = "Upload a regressor, or set the metadata's `task` to spot_interruption."
            raise Refusal("wrong-task", "a classifier cannot predict a price", advice)
        return
    if model.gives == "value":
        advice = "Upload a classifier, or set the metadata's `task` to spot_price."
        raise Refusal("wrong-task", "a regressor has no probability of an interruption", advice)
    if model.gives == "classes":
        advice = "Fit it with probabilities (as SGDClassifier's loss='log_loss'), or within a CalibratedClassifierCV."
        raise Refusal("no-probability", f"{model.estimator} names a class and gives no probability of it", advice)
    if model.gives == "probability" and model.classes != [0, 1]:
        advice = "Fit it with the classes 0 (not interrupted) and 1 (interrupted)."
        raise Refusal("wrong-classes", f"its classes are {str(model.classes)[:200]}", advice)


def _compile(model: Uploaded, features: list[str]) -> tuple[bytes, str]:
    """The compiled file, or nothing and why the model is scored as an object."""
    if model.trees is None:
        return b"", "it is not made of trees alone"
    checked = model.trees
    try:
        form = CompiledForm(tuple(features), checked.cast, checked.link, checked.compile())
        scorer = TreeliteScorer(form)
    except (treelite.TreeliteError, *BROKEN) as error:
        return b"", said(error)[:300]
    probe = probe_matrix(checked.splits, len(features))
    want = _asked(model, probe)
    difference = _difference(want, scorer.score(probe))
    if difference > TOLERANCE:
        return b"", f"its compiled form differs by up to {difference:.2g}"
    return _compiled_over_gaps(model, probe, scorer, form)


def _compiled_over_gaps(
    model: Uploaded, probe: Matrix, scorer: TreeliteScorer, form: CompiledForm
) -> tuple[bytes, str]:
    """Unknown values go the same way, where the model takes them."""
    gaps = probe.copy()
    places = np.random.default_rng(7).random(gaps.shape) < 0.3
    gaps[places] = np.nan
    try:
        want = np.asarray(model.predict(gaps), float)
    except BROKEN:
        return form.to_bytes(), ""
    difference = _difference(want, scorer.score(gaps))
    if difference > TOLERANCE:
        return b"", f"with unknown values its compiled form differs by up to {difference:.2g}"
    return form.to_bytes(), ""


def _difference(want: Matrix, have: Matrix) -> float:
    if want.shape != have.shape or not np.isfinite(want).all():
        raise Refusal("corrupt", "its predictions are not finite numbers, one per row", "Fit and save it again.")
    return float((np.abs(want - have) / np.maximum(1.0, np.abs(want))).max())


def _asked(model: Uploaded, rows: Matrix) -> Matrix:
    try:
        return np.asarray(model.predict(rows), float)
    except BROKEN as error:
        raise Refusal("corrupt", f"it cannot predict: {said(error)}", SAVE_AGAIN) from error


def _try(model: Uploaded, task: str) -> None:
    """Nothing is compiled; it must answer on a few made-up rows, and on one alone as on many."""
    rows = np.abs(np.random.default_rng(1).normal(1.0, 2.0, (50, model.width)))
    scores = _asked(model, rows)
    if scores.shape != (50,) or not np.isfinite(scores).all():
        raise Refusal("corrupt", "its predictions are not finite numbers, one per row", "Fit and save it again.")
    if task == "spot_interruption" and (scores.min() < 0 or scores.max() > 1):
        detail = f"it gives {scores.min():.4g} to {scores.max():.4g} where a probability is 0 to 1"
        advice = "Let it give probabilities, or set the metadata's `task` to spot_price."
        raise Refusal("no-probability" if model.gives == "either" else "corrupt", detail, advice)


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
