"""The contract between the server and a decision engine; an author imports this module and nothing else of the server.

An engine is a class with `name`, `version`, `description`, a `Config` model and `decide`. It needs the standard library
and pydantic for this contract; what it is told is `DecisionInput`, what it answers is `DecisionOutput`, and their JSON
Schema is what the API shows. `engines.checks` says what an engine must keep, in a form that runs.
"""

from typing import Protocol

from pydantic import BaseModel

from engines.actions import (
    Action,
    ActionType,
    ClusterDecision,
    Conflict,
    ExecutionPlan,
    PlanStep,
    Reason,
    RejectedAlternative,
    Risk,
    Savings,
    StepType,
    Target,
)
from engines.drafting import NOTHING, Draft, hold_everything
from engines.exchange import CONTRACT, DecisionInput, DecisionOutput, MadeBy, StoodInFor
from engines.facts import (
    Architecture,
    Calibration,
    CapacityType,
    Cluster,
    Constraints,
    Instant,
    Node,
    PodGroup,
    PoolFacts,
    Requested,
    Requirements,
    Resources,
    Strict,
    Utilisation,
)

__all__ = [
    "CONTRACT",
    "NOTHING",
    "Action",
    "ActionType",
    "Architecture",
    "Calibration",
    "CapacityType",
    "Cluster",
    "ClusterDecision",
    "Conflict",
    "Constraints",
    "DecisionEngine",
    "DecisionInput",
    "DecisionOutput",
    "Draft",
    "ExecutionPlan",
    "Instant",
    "MadeBy",
    "Node",
    "PlanStep",
    "PodGroup",
    "PoolFacts",
    "Reason",
    "RejectedAlternative",
    "Requested",
    "Requirements",
    "Resources",
    "Risk",
    "Savings",
    "StepType",
    "StoodInFor",
    "Strict",
    "Target",
    "Utilisation",
    "hold_everything",
]


class DecisionEngine(Protocol):
    """Decides for clusters; a pure function of its input.

    `decide` raises nothing on any valid input: what cannot be done is a `hold` with its reason, and what nobody could
    do is a conflict. The same input gives the same output, byte for byte.
    """

    name: str
    version: str
    description: str
    Config: type[BaseModel]

    def decide(self, given: DecisionInput, /) -> DecisionOutput:
        """Decide for every cluster of `given`; its `config` has been validated against `Config`."""
        ...
