"""What the name of an instance type tells: the rank of its size and, for the common families, vCPU and memory."""

import math
import re
from collections.abc import Iterable

import polars as pl

_SMALL = {"nano": 0.0, "micro": 1.0, "small": 2.0, "medium": 3.0, "large": 4.0, "xlarge": 5.0}
_XLARGE = re.compile(r"(?:metal-)?([1-9]\d*)xl(?:arge)?")
# Above every size that AWS sells (112xlarge is 11.8), so a `metal` ranks highest whatever its family has.
_METAL = 12.0
# General (m), compute (c) and memory (r) families since the fifth generation: 4, 2 and 8 GiB for each vCPU.
# https://aws.amazon.com/ec2/instance-types/ ; the network-optimised c5n has 2.625 and is left out.
_GIB_PER_VCPU = {"m": 4, "c": 2, "r": 8}
_PLAIN = re.compile(r"(?!c5n)([mcr])[5-8][a-z]*")

SIZES = pl.Schema(
    {
        "instance_type": pl.String(),
        "size_rank": pl.Float64(),
        "rule_vcpu": pl.Int64(),
        "rule_memory_mib": pl.Int64(),
    }
)


def size_rank(instance_type: str) -> float | None:
    """The rank of a type's size, one per doubling (`large` 4, `4xlarge` 7); None for a word that is no size.

    It depends on the name alone, so sizes that are added later move none.
    """
    size = instance_type.partition(".")[2]
    if size in _SMALL:
        return _SMALL[size]
    if size == "metal":
        return _METAL
    found = _XLARGE.fullmatch(size)
    return 5.0 + math.log2(int(found[1])) if found else None


def usual_make_up(instance_type: str) -> tuple[int, int] | None:
    """(vCPU, memory in MiB) where family and size follow the rule of the plain families, else None."""
    family, _, size = instance_type.partition(".")
    plain = _PLAIN.fullmatch(family)
    rank = size_rank(instance_type)
    if plain is None or rank is None or rank < 3 or size.startswith("metal"):
        return None
    vcpu = round(2 ** (rank - 3))
    return vcpu, vcpu * _GIB_PER_VCPU[plain[1]] * 1024


def sizes(instance_types: Iterable[str]) -> pl.DataFrame:
    """One row per type with what its name tells (schema `SIZES`, nulls where it does not)."""
    rows = [(name, size_rank(name), *(usual_make_up(name) or (None, None))) for name in instance_types]
    return pl.DataFrame(rows, schema=SIZES, orient="row")
