"""What is ordered of a replay, in a form that goes to its process as JSON."""

from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from engines.contract import Constraints, Requirements
from engines.replay.comparing import INTERRUPTION_NODE_HOURS
from engines.replay.workload import ON_PRICES, Workload
from gapfill.pools import LINUX
from gapfill.scope import Scope

MOST_DAYS = 92
MOST_DRAWS = 20
MOST_ENGINES = 5
MOST_WORKLOADS = 10


class WorkloadOrder(BaseModel):
    """A cluster that starts with nothing and asks for this over the whole window."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    requirements: Requirements
    constraints: Constraints = Field(default_factory=Constraints)


class ReplayOrder(BaseModel):
    """One replay of an engine over the server's own history."""

    model_config = ConfigDict(extra="forbid")

    start: AwareDatetime = Field(description="First instant (UTC)")
    end: AwareDatetime = Field(description="End of the window, exclusive (UTC); at most 92 days after `start`")
    beside: tuple[str, ...] = Field(
        (), max_length=MOST_ENGINES, description="Other engines to replay; on_demand_only and cheapest_pool always are"
    )
    regions: tuple[str, ...] = Field((), max_length=50, description="Only these regions; empty: all")
    instance_types: tuple[str, ...] = Field((), max_length=500, description="Only these types; empty: all")
    product_description: str = Field(LINUX, min_length=1, max_length=255)
    workloads: tuple[WorkloadOrder, ...] = Field(
        (), max_length=MOST_WORKLOADS, description="Clusters to replay; empty: general, compute and memory"
    )
    interruption_node_hours: tuple[float, ...] = Field(
        INTERRUPTION_NODE_HOURS, min_length=1, max_length=5, description="What an interruption costs, one report each"
    )
    draws: int = Field(0, ge=0, le=MOST_DRAWS, description="Draws of the pools, for intervals at the first cost")
    as_ingested: bool = Field(False, description="A price counts from when it was stored, not from when it held")

    @model_validator(mode="after")
    def _window_can_be_meant(self) -> Self:
        if not self.start < self.end or (self.end - self.start).days >= MOST_DAYS:
            raise ValueError(f"end must be after start, and at most {MOST_DAYS} days after it")
        if any(hours < 0 or hours > 1_000 for hours in self.interruption_node_hours):
            raise ValueError("interruption_node_hours must be from 0 to 1000")
        return self

    def scope(self) -> Scope:
        """The pools that are meant."""
        return Scope(
            regions=self.regions,
            instance_types=self.instance_types,
            products=(self.product_description,),
        )

    def cases(self) -> tuple[Workload, ...]:
        """The clusters that are replayed."""
        named = tuple(Workload(w.name, w.requirements, w.constraints) for w in self.workloads)
        return named or ON_PRICES


class ReplayJob(BaseModel):
    """All that the process of a replay is told."""

    order: ReplayOrder
    engine_ids: tuple[str, ...]
    history_root: str
    market_id: str
    engine_dir: Path
    engine_timeout_s: float
    ordered_at: datetime
