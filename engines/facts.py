"""What an engine is told: clusters with their nodes, requirements and constraints, and the facts about each pool."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    model_validator,
)

# The largest count that is meant: every JSON reader and every 32-bit counter of an orchestrator holds it.
MOST = 2**31 - 1
MOST_NAMES = 1000

CapacityType = Literal["spot", "on_demand"]
Architecture = Literal["x86_64", "arm64"]
Calibration = Literal["calibrated", "uncalibrated", "unknown"]


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("lies outside the years 1 to 9999 in UTC") from error


def _few(names: object) -> object:
    """A JSON object of a million wrong values would be a million errors, each with its own memory."""
    if isinstance(names, dict) and len(names) > MOST_NAMES:
        raise ValueError(f"has {len(names)} names, at most {MOST_NAMES} are taken")
    return names


T = TypeVar("T")
# What comes out of a confined child is checked here: the first wrong item ends the check, for each costs memory.
Several = Annotated[tuple[T, ...], FailFast()]
Named = Annotated[dict[str, T], BeforeValidator(_few)]
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Share = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
UsdPerHour = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(min_length=1, max_length=255)]


class Strict(BaseModel):
    """Immutable, closed to unknown fields, and free of NaN and infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Resources(Strict):
    """What a node offers."""

    vcpu: float = Field(gt=0, description="Virtual CPUs (count)")
    memory_gib: float = Field(gt=0, description="Memory (GiB)")
    gpus: int = Field(default=0, ge=0, le=MOST, description="GPUs (count)")


class Requested(Strict):
    """What the pods on a node have asked the scheduler for."""

    cpu: Share = Field(description="CPU requested, as a share of the node's vCPU (0..1)")
    memory: Share = Field(description="Memory requested, as a share of the node's memory (0..1)")
    gpus: int = Field(default=0, ge=0, le=MOST, description="GPUs requested (count)")


class Utilisation(Strict):
    """What was really used over a window that ends at the decision's `as_of`."""

    cpu_p50: Share = Field(description="Median CPU use, as a share of the node's vCPU (0..1)")
    cpu_p95: Share = Field(description="95th percentile of CPU use, as a share of the node's vCPU (0..1)")
    memory_p50: Share = Field(description="Median memory use, as a share of the node's memory (0..1)")
    memory_p95: Share = Field(description="95th percentile of memory use, as a share of the node's memory (0..1)")
    window_hours: float = Field(gt=0, description="Length of the window (hours)")


class Node(Strict):
    """One running node of a cluster."""

    node_id: Name = Field(description="The orchestrator's name of the node, unique in its cluster")
    region: Name = Field(description="AWS region, such as us-east-1")
    availability_zone: Name = Field(description="Availability zone name, such as us-east-1a")
    instance_type: Name = Field(description="Instance type, such as m5.large")
    capacity_type: CapacityType = Field(description="How the node is bought")
    architecture: Architecture = Field(default="x86_64", description="CPU architecture the node's pods run on")
    launched_at: Instant | None = Field(default=None, description="Launch time (UTC); null when unknown")
    capacity: Resources = Field(description="What the node offers")
    requested: Requested = Field(description="What its pods request")
    utilisation: Utilisation | None = Field(
        default=None, description="What its pods use; null when unknown, which forbids rightsize for this node"
    )
    stateful: bool = Field(
        default=False, description="Its pods hold state that a move would lose: the node is left alone"
    )
    do_not_disrupt: bool = Field(
        default=False, description="The operator forbids any disruption: the node is left alone"
    )
    pods: int = Field(default=0, ge=0, le=MOST, description="Pods on the node (count)")
    price: UsdPerHour | None = Field(
        default=None,
        description="What the node costs now (USD per hour); null: taken from the pools where they know it",
    )
    interruption_notice_at: Instant | None = Field(
        default=None, description="When AWS announced that it takes this spot node back (UTC); null when it has not"
    )


class PodGroup(Strict):
    """Equal pods that have no node yet."""

    name: Name = Field(description="Name of the group, unique in its cluster")
    replicas: int = Field(ge=1, le=MOST, description="Pods (count)")
    cpu: float = Field(ge=0, description="vCPUs that one pod requests (count)")
    memory_gib: float = Field(ge=0, description="Memory that one pod requests (GiB)")
    gpus: int = Field(default=0, ge=0, le=MOST, description="GPUs that one pod requests (count)")


class Requirements(Strict):
    """What the whole cluster must offer, whatever it is made of."""

    vcpu: float = Field(default=0, ge=0, description="Virtual CPUs over all nodes (count); 0 asks for none")
    memory_gib: float = Field(default=0, ge=0, description="Memory over all nodes (GiB); 0 asks for none")
    gpus: int = Field(default=0, ge=0, le=MOST, description="GPUs over all nodes (count)")
    architecture: Architecture | None = Field(
        default=None, description="The only architecture it runs on; null: any allowed"
    )
    min_nodes: int = Field(default=0, ge=0, le=MOST, description="Fewest nodes (count)")
    max_nodes: int | None = Field(default=None, ge=1, le=MOST, description="Most nodes (count); null: no limit")
    min_node_vcpu: float = Field(default=0, ge=0, description="Each new node has at least this many vCPUs (count)")
    min_node_memory_gib: float = Field(default=0, ge=0, description="Each new node has at least this much memory (GiB)")
    pods: Several[PodGroup] = Field(
        default=(), max_length=50, description="Pods that wait for a node: nodes are launched to hold them, each whole"
    )

    @model_validator(mode="after")
    def _group_names_are_unique(self) -> Self:
        if len({group.name for group in self.pods}) < len(self.pods):
            raise ValueError("two pod groups have the same name")
        return self


class Constraints(Strict):
    """What an engine may not do; the defaults forbid only crossing regions."""

    min_on_demand_share: Share = Field(
        default=0, description="Least share of the cluster's vCPU bought on demand (0..1)"
    )
    max_interruption_probability: Probability = Field(
        default=1,
        description="Highest interruption probability of a spot pool over `interruption_horizon_hours` (0..1)",
    )
    interruption_horizon_hours: float | None = Field(
        default=None, gt=0, description="Horizon of that limit (hours); null: the horizon of the pool's own prediction"
    )
    allowed_regions: tuple[Name, ...] | None = Field(default=None, description="Regions of new nodes; null: any")
    allowed_availability_zones: tuple[Name, ...] | None = Field(
        default=None, description="Zones of new nodes; null: any"
    )
    allowed_families: tuple[Name, ...] | None = Field(
        default=None, description="Instance families of new nodes, such as m5 (before the dot); null: any"
    )
    allowed_architectures: tuple[Architecture, ...] | None = Field(default=None, description="Architectures; null: any")
    allowed_gpu_models: tuple[str, ...] | None = Field(
        default=None, description="GPU models of new nodes that have GPUs, such as T4; null: any"
    )
    min_pools: int = Field(
        default=1,
        ge=1,
        le=MOST,
        description="Distinct spot pools that spot nodes are spread over (count), as far as there are nodes",
    )
    max_concurrent_disruptions: int = Field(
        default=1, ge=1, le=MOST, description="Nodes drained at the same time (count)"
    )
    budget_usd_per_hour: UsdPerHour | None = Field(default=None, description="Most the cluster may cost (USD per hour)")
    min_savings_percent: float = Field(
        default=0,
        ge=0,
        le=100,
        description="An action that only saves must save this much of its nodes' cost (percent)",
    )
    min_savings_usd_per_hour: UsdPerHour = Field(
        default=0, description="An action that only saves must save this much (USD per hour)"
    )
    deadline: Instant | None = Field(
        default=None, description="All disruption must be over by then (UTC); what would take longer is not begun"
    )
    cross_region_allowed: bool = Field(default=False, description="Whether a node's load may move to another region")


class Cluster(Strict):
    """One cluster to decide for; without nodes it is a fresh one, for which a mix is chosen."""

    cluster_id: Name = Field(description="Unique name of the cluster")
    nodes: Several[Node] = Field(default=(), description="Its nodes; empty for a cluster that is yet to be launched")
    requirements: Requirements = Field(default_factory=Requirements, description="What it must offer")
    constraints: Constraints = Field(default_factory=Constraints, description="What may not be done to it")
    product_description: Name = Field(default="Linux/UNIX", description="Product of its pools, as AWS spells it")

    @model_validator(mode="after")
    def _node_ids_are_unique(self) -> Self:
        if len({node.node_id for node in self.nodes}) < len(self.nodes):
            raise ValueError("two nodes have the same node_id")
        return self


class PoolFacts(Strict):
    """One spot pool as known at `as_of`, and the on-demand price of the same type in the same place."""

    pool_id: Name = Field(description="region/zone_name/type/product")
    region: Name = Field(description="AWS region")
    availability_zone: Name = Field(description="Availability zone name")
    instance_type: Name = Field(description="Instance type")
    product_description: Name = Field(default="Linux/UNIX", description="Product, as AWS spells it")
    price: float = Field(gt=0, description="Spot price now (USD per hour)")
    on_demand_price: float | None = Field(
        default=None, gt=0, description="On-demand price (USD per hour); null when unknown"
    )
    vcpu: float = Field(gt=0, description="Virtual CPUs of one instance (count)")
    memory_gib: float = Field(gt=0, description="Memory of one instance (GiB)")
    gpus: int = Field(default=0, ge=0, le=MOST, description="GPUs of one instance (count)")
    gpu_model: str | None = Field(default=None, description="Model of those GPUs; null without GPUs or when unknown")
    architecture: Architecture = Field(default="x86_64", description="CPU architecture")
    interruption_probability: Probability | None = Field(
        default=None,
        description="Predicted probability of an interruption within `horizon_hours` (0..1); null: not predicted",
    )
    horizon_hours: float = Field(default=1, gt=0, description="Horizon of that probability (hours)")
    confidence: Share | None = Field(
        default=None, description="Confidence of the prediction (0..1); null: not predicted"
    )
    calibration: Calibration = Field(
        default="unknown", description="Whether outcomes have confirmed such probabilities"
    )
    predicted_price: float | None = Field(
        default=None, gt=0, description="Spot price predicted for `predicted_price_horizon_hours` ahead (USD per hour)"
    )
    predicted_price_horizon_hours: float | None = Field(default=None, gt=0, description="Horizon of that price (hours)")
    features: dict[str, float | None] = Field(
        default_factory=dict, description="The pool's feature row by name, each in its own unit; null: missing"
    )
    predictions: dict[str, float] = Field(
        default_factory=dict, description="Predictions of models that the engine names, by model_id, each in its unit"
    )
    observed_at: Instant | None = Field(
        default=None, description="When the price began to hold (UTC); null when unknown"
    )
    data_as_of: Instant = Field(description="Only data at or before this instant stands behind these facts (UTC)")
    simulated: bool = Field(default=False, description="The price comes from a simulated market")
