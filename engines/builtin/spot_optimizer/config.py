"""What a user can tune of the built-in engines, and the policies that set them apart."""

from dataclasses import dataclass

from pydantic import Field

from engines.facts import Strict


class OptimizerConfig(Strict):
    """Config of the built-in engines; every field has a default."""

    interruption_cost_node_hours: float = Field(
        default=0.5,
        ge=0,
        description="What one interruption costs: this many hours of the node's on-demand price (hours)",
    )
    max_pool_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Most of a cluster's spot nodes in one pool, rounded up to whole nodes; an even spread where too "
        "few pools are open for that (0..1)",
    )
    max_joint_share: float = Field(
        default=0.6,
        gt=0,
        le=1,
        description="Most of a cluster's spot nodes that are lost together, in pools of one zone and one instance "
        "family; rounded up, or an even spread, as for one pool (0..1)",
    )
    hold_hours: float = Field(
        default=24,
        gt=0,
        description="How long a moved node stays where it went if nothing interrupts it: what moving costs (both nodes "
        "run for `disruption_minutes`) is spread over the time it is expected to stay (hours)",
    )
    use_headroom: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Room above the 95th percentile of use that a smaller node keeps (share of use)",
    )
    min_utilisation_window_hours: float = Field(
        default=24, ge=0, description="Utilisation over a shorter window counts as unknown (hours)"
    )
    max_fill: float = Field(
        default=0.9, gt=0, le=1, description="How full consolidation may make a node (share of CPU and of memory)"
    )
    price_sigma: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Log-deviation of a spot price over the next hours, for savings p10 and p90, where the feature "
        "price_std_24h is missing",
    )
    hazard_sigma: float = Field(
        default=1.0,
        ge=0,
        le=3,
        description="Log-deviation of the interruption rate at confidence 0, for savings p10 and p90; at confidence c "
        "it is (1 - c) times this",
    )
    disruption_minutes: float = Field(
        default=10,
        gt=0,
        description="Time to replace one node, launch and drain included, against the deadline (minutes)",
    )
    valid_minutes: float = Field(default=10, gt=0, description="How long an action stays valid (minutes)")
    alternatives_listed: int = Field(
        default=5, ge=1, le=100, description="Cheapest rejected alternatives listed, beside one per constraint (count)"
    )


@dataclass(frozen=True, slots=True)
class Policy:
    """What an engine does at all."""

    engine: str
    spot: bool
    consolidate: bool
    cheapest_only: bool = False


OPTIMISE = Policy("spot_optimizer_v1", spot=True, consolidate=True)
ON_DEMAND_ONLY = Policy("on_demand_only", spot=False, consolidate=False)
CHEAPEST_POOL = Policy("cheapest_pool", spot=True, consolidate=False, cheapest_only=True)
