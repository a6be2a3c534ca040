"""Models that misbehave while they score, as programs of a confined child; a model's first request loads it."""

import json
import os
import time

import numpy as np

loaded: list[bytes] = []
SLOW_S = 0.5


def slow(request: bytes) -> bytes:
    """Scores 0.5 for each row of one column, half a second after it was asked."""
    if _loading(request):
        return b"ready"
    time.sleep(SLOW_S)
    return _halves(request)


def hanging(request: bytes) -> bytes:
    """Answers rows of zeros at once, and never any other."""
    if _loading(request):
        return b"ready"
    while np.frombuffer(request, np.float64).any():
        time.sleep(1)
    return _halves(request)


def ending(request: bytes) -> bytes:
    """Ends at rows that are not all zeros."""
    if _loading(request):
        return b"ready"
    if np.frombuffer(request, np.float64).any():
        os._exit(3)
    return _halves(request)


def unloadable(request: bytes) -> bytes:
    """Ends as soon as it is to load."""
    os._exit(3)


def wild(request: bytes) -> bytes:
    """Scores 1.5, which no probability is."""
    return b"ready" if _loading(request) else np.full(_rows(request), 1.5).tobytes()


def short(request: bytes) -> bytes:
    """One score less than rows."""
    return b"ready" if _loading(request) else _halves(request)[8:]


def picky(request: bytes) -> bytes:
    """Raises for a negative value, as a library does that knows no such thing."""
    if _loading(request):
        return b"ready"
    if (np.frombuffer(request, np.float64) < 0).any():
        raise ValueError("negative values are not known here")
    return _halves(request)


def _loading(request: bytes) -> bool:
    if loaded:
        return False
    loaded.append(request)
    return True


def _rows(request: bytes) -> int:
    return len(request) // 8 // len(json.loads(loaded[0])["features"])


def _halves(request: bytes) -> bytes:
    return np.full(_rows(request), 0.5).tobytes()
