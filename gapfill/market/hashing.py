"""Randomness without state: numbers that are a pure function of a key, a stream and an index."""

import hashlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def key_of(text: str) -> int:
    """A 64-bit key of a text, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _mix(bits: Keys) -> Keys:
    """The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    return bits ^ (bits >> np.uint64(31))


def uniform(keys: Keys, stream: int, index: Ints) -> Floats:
    """Numbers in [0, 1), one for each (key, index) of two arrays that broadcast."""
    salt = np.uint64((stream * 0xD1342543DE82EF95) & 0xFFFFFFFFFFFFFFFF)
    bits = _mix(keys ^ _mix(index.astype(np.uint64) * _GOLDEN + salt))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draws(keys: Keys, stream: int) -> Floats:
    """One number in [0, 1) per key."""
    return uniform(keys, stream, np.zeros(1, dtype=np.int64))


def noise(keys: Keys, stream: int, at: Floats) -> Floats:
    """Value noise in [-1, 1]: random at each whole number, straight between them."""
    left = np.floor(at)
    index = left.astype(np.int64)
    share = at - left
    return 2.0 * ((1.0 - share) * uniform(keys, stream, index) + share * uniform(keys, stream, index + 1)) - 1.0
