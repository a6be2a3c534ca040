"""How far a child is confined, and what it may use."""

from dataclasses import dataclass
from enum import StrEnum


class Tier(StrEnum):
    """A: Landlock, seccomp and rlimits. B: without Landlock, so readable files can be read. C: rlimits only."""

    A = "A"
    B = "B"
    C = "C"

    def at_least(self, other: "Tier") -> bool:
        """Whether this is as strong as `other`."""
        return self.value <= other.value


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use; `memory_bytes` comes on top of what it has after its imports."""

    memory_bytes: int = 1024**3
    cpu_s: int | None = 60  # over its life after its imports; None for a child that lives long
    output_bytes: int = 64 * 1024**2
    start_s: float = 60.0
    weakest: Tier = Tier.B  # a child that reaches less is not used
