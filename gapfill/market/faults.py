"""Faults that can be switched on: how often, where, and which one a request gets."""

import random
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

Kind = Literal[
    "throttling",
    "server_error",
    "slow",
    "cut_off",
    "expired_token",
    "auth_failure",
    "duplicated_records",
    "short_pages",
]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Fault:
    """One switched-on fault; empty `region` or `action` means any, `count` None means until it is switched off."""

    kind: Kind
    region: str = ""
    action: str = ""
    probability: float = 1.0
    count: int | None = None
    delay_s: float = 1.0
    cut_after_bytes: int = 200
    seed: int = 0

    def concerns(self, region: str, action: str) -> bool:
        """Whether a request is within its reach."""
        return (not self.region or self.region == region) and (not self.action or self.action == action)


@dataclass(slots=True)
class Faults:
    """The faults that are on; each rolls its own seeded dice, so a run can be repeated."""

    _on: list[tuple[Fault, random.Random]] = field(default_factory=list)

    def switch_on(self, fault: Fault) -> None:
        """Add a fault; several may be on, also of one kind."""
        self._on.append((fault, random.Random(fault.seed)))

    def switch_off(self, kind: str | None = None) -> None:
        """Drop all faults, or those of one kind."""
        self._on = [pair for pair in self._on if kind is not None and pair[0].kind != kind]

    def listed(self) -> list[Fault]:
        """The faults that are on, with the counts that are left."""
        return [fault for fault, _ in self._on]

    def strike(self, region: str, action: str) -> list[Fault]:
        """The faults that this request gets; counts go down."""
        hit: list[Fault] = []
        left: list[tuple[Fault, random.Random]] = []
        for fault, dice in self._on:
            struck = fault.concerns(region, action) and dice.random() < fault.probability
            if struck:
                hit.append(fault)
            if struck and fault.count is not None:
                fault = replace(fault, count=fault.count - 1)
            if fault.count != 0:
                left.append((fault, dice))
        self._on = left
        return hit
