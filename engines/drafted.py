"""What a draft of a decision is made of: steps taken, alternatives rejected, and their forms in the answer."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from engines.actions import ActionType, Reason, RejectedAlternative, Risk, Savings, Target
from engines.facts import CapacityType, Node, PoolFacts
from engines.limits import move_type


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done: these nodes (or none, for a launch) go to a pool."""

    nodes: tuple[Node, ...]
    target: Target
    pool: PoolFacts
    savings: Savings
    reason: Reason


class Rejected(NamedTuple):
    """An alternative that was tried; it becomes a `RejectedAlternative` only where it is listed."""

    pool: PoolFacts | None
    capacity_type: CapacityType
    nodes: int
    constraint: str
    detail: str

    def listed(self) -> RejectedAlternative:
        """Return it in the form of the answer."""
        target = target_of(self.pool, self.capacity_type, self.nodes) if self.pool else None
        return RejectedAlternative(target=target, constraint=self.constraint, detail=self.detail)


def target_of(pool: PoolFacts, capacity_type: CapacityType, count: int) -> Target:
    """Return `count` nodes of a pool as a target."""
    return Target(
        region=pool.region,
        availability_zone=pool.availability_zone,
        instance_type=pool.instance_type,
        capacity_type=capacity_type,
        count=count,
    )


def type_of(step: Step) -> ActionType:
    """Return what a step is called."""
    if step.nodes:
        return move_type(step.nodes[0], step.pool, step.target.capacity_type)
    return "move_to_spot" if step.target.capacity_type == "spot" else "fall_back_to_on_demand"


def risk_of(pool: PoolFacts | None, capacity_type: CapacityType) -> Risk:
    """Return the risk of being in a pool; unknown for a pool that is."""
    if pool is None:
        return Risk(probability=None, horizon_hours=1)
    if capacity_type == "on_demand":
        return Risk(probability=0.0, horizon_hours=pool.horizon_hours)
    return Risk(
        probability=pool.interruption_probability,
        horizon_hours=pool.horizon_hours,
        confidence=pool.confidence,
        calibration=pool.calibration,
    )


def total(parts: Iterable[Savings]) -> Savings:
    """Return the sum, percentile by percentile."""
    listed = list(parts)
    return Savings(
        p10=math.fsum(s.p10 for s in listed), p50=math.fsum(s.p50 for s in listed), p90=math.fsum(s.p90 for s in listed)
    )
