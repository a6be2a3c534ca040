"""The contract between the server and a decision engine; an author imports this module and nothing else of the server.

An engine is a class with `name`, `version`, `description`, a `Config` model and `decide`. It needs the standard library
and pydantic for this contract; what it is told is `DecisionInput`, what it answers is `DecisionOutput`, and their JSON
Schema is what the API shows. `engines.checks` says what an engine must keep, in a form that runs.
"""

from typing import Any, Protocol, Self

from pydantic import BaseModel, Field, model_validator

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
from engines.facts import (
    Architecture,
    Calibration,
    CapacityType,
    Cluster,
    Constraints,
    Instant,
    Name,
    Node,
    PoolFacts,
    Requested,
    Requirements,
    Resources,
    Strict,
    Utilisation,
)

CONTRACT = 1

__all__ = [
    "CONTRACT",
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
    "ExecutionPlan",
    "Instant",
    "MadeBy",
    "Node",
    "PlanStep",
    "PoolFacts",
    "Reason",
    "RejectedAlternative",
    "Requested",
    "Requirements",
    "Resources",
    "Risk",
    "Savings",
    "StepType",
    "Strict",
    "Target",
    "Utilisation",
]


class DecisionInput(Strict):
    """Everything an engine may know: it reads no clock, no file and no network."""

    contract: int = Field(default=CONTRACT, ge=1, description="Version of this contract")
    as_of: Instant = Field(description="The instant of the decision (UTC)")
    market_id: Name = Field(description="Where prices come from: aws:<account>, sim:<seed> or replay:<sha256>+<shift>")
    clusters: tuple[Cluster, ...] = Field(description="Clusters to decide for, each on its own")
    pools: tuple[PoolFacts, ...] = Field(description="Pools known at `as_of`")
    config: dict[str, Any] = Field(default_factory=dict, description="The engine's own config, valid under its schema")

    @model_validator(mode="after")
    def _cluster_ids_are_unique(self) -> Self:
        if len({cluster.cluster_id for cluster in self.clusters}) < len(self.clusters):
            raise ValueError("two clusters have the same cluster_id")
        return self


class MadeBy(Strict):
    """Who decided on what; the host fills it in."""

    engine_id: Name = Field(description="The engine's id in the catalogue")
    version: Name = Field(description="The engine's version")
    generation: int = Field(ge=0, description="Generation of the selection that was active (count)")
    input_sha256: str = Field(description="SHA-256 of the canonical input, config included (hex)")


class DecisionOutput(Strict):
    """One decision for each cluster of the input, in the same order."""

    contract: int = Field(default=CONTRACT, ge=1, description="Version of this contract")
    as_of: Instant = Field(description="`as_of` of the input (UTC)")
    decisions: tuple[ClusterDecision, ...] = Field(description="One for each cluster, in the input's order")
    made_by: MadeBy | None = Field(default=None, description="Filled in by the host; an engine leaves it null")


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
