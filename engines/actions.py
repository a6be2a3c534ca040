"""What an engine answers: actions with their reasons, the plan that carries them out, and what stands in the way."""

from typing import Literal

from pydantic import Field

from engines.facts import (
    Calibration,
    CapacityType,
    Instant,
    Name,
    Named,
    Probability,
    Several,
    Share,
    Strict,
    UsdPerHour,
)

ActionType = Literal["move_to_spot", "move_pool", "fall_back_to_on_demand", "consolidate", "rightsize", "hold"]
StepType = Literal["revalidate", "launch", "wait_ready", "check_savings", "cordon", "evict", "terminate", "verify"]


class Target(Strict):
    """Where a node's load goes."""

    region: Name = Field(description="AWS region")
    availability_zone: Name = Field(description="Availability zone name")
    instance_type: Name = Field(description="Instance type")
    capacity_type: CapacityType = Field(description="How it is bought")
    count: int = Field(ge=0, description="Nodes to launch (count); 0: nodes that already run take the load")


class Risk(Strict):
    """How likely the target is to be interrupted."""

    probability: Probability | None = Field(
        description="Probability that one node of the target is interrupted within the horizon (0..1); null: unknown"
    )
    horizon_hours: float = Field(gt=0, description="Horizon (hours)")
    confidence: Share | None = Field(default=None, description="Confidence of that prediction (0..1)")
    calibration: Calibration = Field(
        default="unknown", description="Whether outcomes have confirmed such probabilities"
    )


class Savings(Strict):
    """What is saved, net of expected interruption cost; negative when it costs more.

    Against going on as now; for a launch, against the same nodes bought on demand.
    """

    p10: float = Field(description="Saved with 90 % probability at least (USD per hour)")
    p50: float = Field(description="Median saving (USD per hour)")
    p90: float = Field(description="Saved with 10 % probability at least (USD per hour)")


class Reason(Strict):
    """Why, in words, with the numbers behind the words."""

    code: Name = Field(description="Stable name of the reason, such as cheaper or utilisation_unknown")
    text: str = Field(min_length=1, description="One sentence for a person")
    numbers: Named[float] = Field(
        default_factory=dict, description="The numbers behind it, by name; each name ends in its unit"
    )


class RejectedAlternative(Strict):
    """One thing that was not done, and the constraint that bound it."""

    target: Target | None = Field(
        default=None, description="What it would have been; null when no single place is meant"
    )
    constraint: Name = Field(
        description="Field of Constraints, Requirements or the engine's config, or architecture, capacity, cost, "
        "disruption, gpu_model, on_demand_price, policy, prediction, region, utilisation"
    )
    detail: str = Field(min_length=1, description="One sentence for a person")
    value: float | None = Field(default=None, description="What it has, in the constraint's unit")
    limit: float | None = Field(default=None, description="What the constraint asks for, in its unit")


class Action(Strict):
    """One recommended action.

    `node_ids` are the nodes it acts on, each in at most one action of its cluster. Without node_ids, `move_to_spot` and
    `fall_back_to_on_demand` launch nodes that the requirements ask for and nobody runs yet. `consolidate` drains its
    node_ids into `receiving_node_ids`, which run on. `rightsize` replaces a node by one that suits what it really uses:
    smaller, or cheaper while bought the same way; on spot or on demand as its target says.
    """

    action_id: Name = Field(
        description="Unique in its decision; the host replaces it by a hash of input, engine, cluster and content"
    )
    type: ActionType = Field(description="What to do")
    node_ids: Several[Name] = Field(description="Nodes it acts on; empty to launch what is missing")
    receiving_node_ids: Several[Name] = Field(default=(), description="consolidate: running nodes that take the load")
    target: Target | None = Field(description="Where the load goes; null for hold")
    pods_per_node: Named[int] = Field(
        default_factory=dict, description="Launches: waiting pods for each launched node, by pod group (count)"
    )
    score: Share = Field(description="How much it is worth doing, for ordering (0..1)")
    risk: Risk = Field(description="Risk of interruption at the target, or of staying, for hold")
    savings: Savings = Field(description="What it saves, over all its nodes")
    reasons: Several[Reason] = Field(min_length=1, description="Why")
    rejected: Several[RejectedAlternative] = Field(default=(), description="The nearest alternatives, cheapest first")
    rejected_counts: Named[int] = Field(
        default_factory=dict, description="All alternatives not chosen, counted by the constraint that bound each"
    )
    preconditions: Several[str] = Field(default=(), description="What must still be true when it is carried out")
    valid_until: Instant = Field(description="After this the decision must be made anew (UTC)")
    rollback: str = Field(description="How to undo it; empty for hold")
    data_as_of: Instant = Field(description="Oldest data it relies on (UTC)")


class PlanStep(Strict):
    """One step of the plan."""

    step: int = Field(ge=1, description="Its number, from 1, in the order of execution")
    type: StepType = Field(description="What to do")
    description: str = Field(min_length=1, description="One sentence for a person")
    action_ids: Several[Name] = Field(description="Actions it belongs to")
    node_ids: Several[Name] = Field(default=(), description="Running nodes it touches")
    targets: Several[Target] = Field(
        default=(), description="launch: what to launch, over several pools where possible"
    )
    depends_on: Several[int] = Field(default=(), description="Steps that must have succeeded before")
    max_concurrent: int | None = Field(default=None, ge=1, description="evict: nodes drained at the same time (count)")
    min_savings_usd_per_hour: float | None = Field(
        default=None, description="check_savings: go on only if prices now still save this much (USD per hour)"
    )
    timeout_seconds: int = Field(gt=0, description="Give up after this long (seconds)")
    uncordon_after_seconds: int | None = Field(
        default=None,
        gt=0,
        description="cordon: uncordon by itself when the step after it has not begun by then (seconds)",
    )
    on_failure: str = Field(min_length=1, description="What to do when it fails")


class ExecutionPlan(Strict):
    """Ordered steps; empty when every action is hold."""

    steps: Several[PlanStep] = Field(default=(), description="In the order of execution")


class Conflict(Strict):
    """Constraints that cannot all hold."""

    constraints: Several[Name] = Field(min_length=1, description="Their names; they conflict together")
    detail: str = Field(min_length=1, description="One sentence for a person: what conflicts, what could give")


class ClusterDecision(Strict):
    """The decision for one cluster: every node is in exactly one recommendation."""

    cluster_id: Name = Field(description="The cluster")
    recommendations: Several[Action] = Field(description="Best first; hold last")
    execution_plan: ExecutionPlan = Field(description="How to carry them out")
    estimated_savings: Savings = Field(description="Over all recommendations")
    current_cost_usd_per_hour: UsdPerHour | None = Field(
        description="What its nodes cost now (USD per hour); null when a node's price is unknown"
    )
    planned_cost_usd_per_hour: UsdPerHour | None = Field(
        description="What its nodes cost after the plan (USD per hour); null when a node's price is unknown"
    )
    conflicts: Several[Conflict] = Field(default=(), description="Constraints that cannot all hold; empty when they do")
    data_as_of: Instant = Field(description="Oldest data the decision relies on (UTC)")
    simulated: bool = Field(default=False, description="Prices of a simulated market stand behind it")
