"""The file form of a compiled model: a JSON header of ours, then treelite's own bytes."""

import json
import struct
from dataclasses import asdict, dataclass
from typing import Literal

MAGIC = b"CLOUDOPT-TREES-1\n"
HEADER_LIMIT = 1024**2

Cast = Literal["float32", "float64"]
Link = Literal["identity", "exponential"]


@dataclass(frozen=True, slots=True)
class CompiledForm:
    """What a scorer needs: `trees` are treelite's serialized bytes.

    `cast` is the width that the library itself compares with a tree's thresholds: float32 for scikit-learn's trees,
    forests and gradient boosting, float64 for histogram boosting; without the cast, rows next to a threshold fall on
    the other side. `link` "exponential" squares the odds: scikit-learn's exponential loss gives expit(2 x), while
    treelite computes expit(x).
    """

    features: tuple[str, ...]
    cast: Cast
    link: Link
    trees: bytes

    def to_bytes(self) -> bytes:
        """The file."""
        header = {name: value for name, value in asdict(self).items() if name != "trees"}
        text = json.dumps(header).encode()
        return MAGIC + struct.pack(">I", len(text)) + text + self.trees

    @classmethod
    def from_bytes(cls, data: bytes) -> "CompiledForm":
        """Read the file; raises ValueError when it is none."""
        start = len(MAGIC) + 4
        if not data.startswith(MAGIC) or len(data) < start:
            raise ValueError("not a compiled model of this server")
        (size,) = struct.unpack(">I", data[len(MAGIC) : start])
        if size > HEADER_LIMIT or len(data) < start + size:
            raise ValueError("the header of the compiled model is cut off")
        header = json.loads(data[start : start + size])
        if header.keys() != {"features", "cast", "link"} or header["cast"] not in ("float32", "float64"):
            raise ValueError("the header of the compiled model has other fields than this release knows")
        if header["link"] not in ("identity", "exponential"):
            raise ValueError("the compiled model has a link that this release does not know")
        return cls(tuple(header["features"]), header["cast"], header["link"], data[start + size :])
