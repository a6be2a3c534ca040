"""The contract of a scorer; shapes, units and errors are documented here and only here."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


class Scorer(Protocol):
    """The loaded form of a model version.

    Safe to call from several threads at once; holds no lock for longer than one call.
    """

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the matrix's columns, in the order the model was fitted with."""
        ...

    def score(self, matrix: Matrix) -> Vector:
        """float64[n, len(features)] → float64[n].

        Task `spot_interruption`: the probability of class 1, 0..1. Task `spot_price`: USD per hour.
        Raises `ModelRefused` never; a matrix of another width raises ValueError.
        """
        ...

    def close(self) -> None:
        """Free what it holds; no call follows."""
        ...
