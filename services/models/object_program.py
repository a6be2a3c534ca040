"""The program of a confined child that scores one model that is not compiled: an object, a booster or a graph.

The first request is JSON and loads the file; every later one is float64 rows, answered by float64 scores.
"""

import json
import os
import warnings
from typing import Any

import numpy as np

from services.models.reading import open_upload
from services.models.refusal import Refusal

loaded: dict[str, Any] = {}


def answer(request: bytes) -> bytes:
    """Load or score; raises ValueError for a file that was let in before and is not now."""
    if not loaded:
        return _load(json.loads(request))
    rows = np.frombuffer(request, np.float64).reshape(-1, loaded["width"])
    if not len(rows):
        return b""
    return np.asarray(loaded["model"].predict(rows), np.float64).tobytes()


def _load(order: dict[str, Any]) -> bytes:
    warnings.simplefilter("ignore")
    try:
        with os.fdopen(order["file"], "rb") as file:
            model = open_upload(file).model
    except Refusal as refusal:
        raise ValueError(refusal.detail) from refusal
    loaded.update(model=model, width=len(order["features"]))
    return b"ready"
