"""What goes to an engine and what comes back: one input, one output, and who made it."""

from typing import Any, Self

from pydantic import Field, model_validator

from engines.actions import ClusterDecision
from engines.facts import Cluster, Instant, Name, PoolFacts, Several, Strict

CONTRACT = 1


class DecisionInput(Strict):
    """Everything an engine may know: it reads no clock, no file and no network."""

    contract: int = Field(default=CONTRACT, ge=1, description="Version of this contract")
    as_of: Instant = Field(description="The instant of the decision (UTC)")
    market_id: Name = Field(description="Where prices come from: aws:<account>, sim:<seed> or replay:<sha256>+<shift>")
    clusters: Several[Cluster] = Field(description="Clusters to decide for, each on its own")
    pools: Several[PoolFacts] = Field(description="Pools known at `as_of`")
    config: dict[str, Any] = Field(default_factory=dict, description="The engine's own config, valid under its schema")

    @model_validator(mode="after")
    def _cluster_ids_are_unique(self) -> Self:
        if len({cluster.cluster_id for cluster in self.clusters}) < len(self.clusters):
            raise ValueError("two clusters have the same cluster_id")
        return self


class StoodInFor(Strict):
    """The selected engine, whose answer was not used, and why."""

    engine_id: Name = Field(description="The selected engine's id in the catalogue")
    kind: Name = Field(description="What it did, by a stable name, such as crashed, timed_out or violation")
    detail: str = Field(description="The same in words")


class MadeBy(Strict):
    """Who decided on what; the host fills it in."""

    engine_id: Name = Field(description="The engine's id in the catalogue")
    version: Name = Field(description="The engine's version")
    generation: int = Field(ge=0, description="Generation of the selection that was active (count)")
    input_sha256: str = Field(description="SHA-256 of the canonical input, config included (hex)")
    config: dict[str, Any] = Field(
        default_factory=dict, description="The config it decided with: with the kept input, all that a re-issue needs"
    )
    stands_in_for: StoodInFor | None = Field(
        default=None, description="The selected engine when it failed and another one decided; null when it decided"
    )


class DecisionOutput(Strict):
    """One decision for each cluster of the input, in the same order."""

    contract: int = Field(default=CONTRACT, ge=1, description="Version of this contract")
    as_of: Instant = Field(description="`as_of` of the input (UTC)")
    decisions: Several[ClusterDecision] = Field(description="One for each cluster, in the input's order")
    made_by: MadeBy | None = Field(default=None, description="Filled in by the host; an engine leaves it null")
