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


# What a child of each tier could still do, for those who run the server.
LACKS: dict[Tier, tuple[str, ...]] = {
    Tier.A: (),
    Tier.B: ("files that the server may read can be read (no Landlock)",),
    Tier.C: (
        "files that the server may read or write can be read and written (no Landlock)",
        "sockets can be opened, programs started and processes signalled (no seccomp filter)",
    ),
}


@dataclass(frozen=True, slots=True)
class Confinement:
    """How far children are confined; one that reaches less than `weakest` is not used.

    `most` keeps a child from being confined as far as the machine allows: for tests of the lower tiers.
    """

    most: Tier = Tier.A
    weakest: Tier = Tier.B


USUAL = Confinement()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use; `memory_bytes` comes on top of what it has after its imports."""

    memory_bytes: int = 1024**3
    cpu_s: int | None = 60  # over its life after its imports; None for a child that lives long
    output_bytes: int = 64 * 1024**2
    start_s: float = 60.0
    confinement: Confinement = USUAL
