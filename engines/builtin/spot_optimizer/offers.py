"""What could be bought: each pool on spot and on demand, with its expected cost, and what bars it for a cluster."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engines.builtin.spot_optimizer.config import OptimizerConfig, Policy
from engines.facts import CapacityType, Cluster, PoolFacts

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# An interruption rate stays finite when a model says that an interruption is certain.
_MOST_PROBABLE = 1 - 1e-6


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to buy a node; `hazard` is interruptions per hour, prices and costs are USD per hour."""

    pool: PoolFacts
    capacity_type: CapacityType
    price: float
    hazard: float
    interruption_usd: float

    @property
    def expected_cost(self) -> float:
        """Price plus the expected cost of interruptions (USD per hour)."""
        return self.price + self.hazard * self.interruption_usd

    @property
    def place(self) -> tuple[str, str, str]:
        """Region, zone and type: with the cluster's product, the pool."""
        return (self.pool.region, self.pool.availability_zone, self.pool.instance_type)

    @property
    def family(self) -> str:
        """What stands before the dot of the instance type."""
        return self.pool.instance_type.split(".")[0]

    def probability_within(self, hours: float) -> float | None:
        """Probability of an interruption within `hours`; None when it is not predicted."""
        if self.capacity_type == "on_demand":
            return 0.0
        if self.pool.interruption_probability is None:
            return None
        return -math.expm1(-self.hazard * hours)


@dataclass(frozen=True, slots=True)
class Bar:
    """Why an offer is barred for a cluster; `value` and `limit` are in the constraint's unit."""

    constraint: str
    detail: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Offers:
    """All offers for one cluster's product, as objects and as columns of equal length; `at` finds one by place.

    `move_share` is what moving a node there costs per hour, as a share of the node's own price per hour.
    """

    offers: tuple[Offer, ...]
    bars: tuple[Bar | None, ...]
    vcpu: Floats
    memory: Floats
    gpus: Floats
    price: Floats
    cost: Floats
    move_share: Floats
    spot: Bools
    open: Bools
    region: npt.NDArray[Any]
    architecture: npt.NDArray[Any]
    gpu_model: npt.NDArray[Any]
    family: npt.NDArray[Any]
    at: dict[tuple[tuple[str, str, str], CapacityType], int]


def hazard_of(probability: float, horizon_hours: float) -> float:
    """Return the constant rate (per hour) that gives `probability` within the horizon: -ln(1 - p) / h."""
    return -math.log1p(-min(probability, _MOST_PROBABLE)) / horizon_hours


def stay_hours(hazard: float, most: float) -> float:
    """Return how long a node is expected to stay (hours), at this rate per hour and for `most` hours at the longest.

    The mean of min(T, most) for an exponential T: (1 - exp(-hazard * most)) / hazard.
    """
    return -math.expm1(-hazard * most) / hazard if hazard > 0 else most


def offer_of(pool: PoolFacts, capacity_type: CapacityType, config: OptimizerConfig) -> Offer:
    """Return the offer of `pool` on spot or on demand (whose price must then be known)."""
    on_demand = pool.on_demand_price if pool.on_demand_price is not None else pool.price
    interruption_usd = config.interruption_cost_node_hours * on_demand
    if capacity_type == "on_demand":
        return Offer(pool, capacity_type, on_demand, 0.0, interruption_usd)
    probability = pool.interruption_probability
    hazard = 0.0 if probability is None else hazard_of(probability, pool.horizon_hours)
    return Offer(pool, capacity_type, pool.price, hazard, interruption_usd)


def offers_for(cluster: Cluster, pools: Sequence[PoolFacts], config: OptimizerConfig, policy: Policy) -> Offers:
    """Return every offer of the cluster's product; a pool that is given twice counts once, as given first."""
    mine: dict[str, PoolFacts] = {}
    for pool in pools:
        if pool.product_description == cluster.product_description:
            mine.setdefault(pool.pool_id, pool)
    offers = [offer_of(pool, "spot", config) for pool in mine.values()]
    offers += [offer_of(pool, "on_demand", config) for pool in mine.values() if pool.on_demand_price is not None]
    return _columns(offers, [_bar(cluster, offer, policy) for offer in offers], config)


def within(offers: Offers, regions: Collection[str]) -> Offers:
    """Return the offers with those outside `regions` barred for crossing regions; empty: none is outside."""
    if not regions:
        return offers
    bar = Bar("cross_region_allowed", f"it is outside {', '.join(sorted(regions))}")
    bars = [
        bar if old is None and offer.pool.region not in regions else old
        for offer, old in zip(offers.offers, offers.bars, strict=True)
    ]
    return replace(offers, bars=tuple(bars), open=np.array([b is None for b in bars], dtype=np.bool_))


def _columns(offers: list[Offer], bars: list[Bar | None], config: OptimizerConfig) -> Offers:
    def numbers(values: Iterator[float]) -> Floats:
        return np.fromiter(values, dtype=np.float64, count=len(offers))

    return Offers(
        offers=tuple(offers),
        bars=tuple(bars),
        vcpu=numbers(o.pool.vcpu for o in offers),
        memory=numbers(o.pool.memory_gib for o in offers),
        gpus=numbers(float(o.pool.gpus) for o in offers),
        price=numbers(o.price for o in offers),
        cost=numbers(o.expected_cost for o in offers),
        move_share=numbers(config.disruption_minutes / 60 / stay_hours(o.hazard, config.hold_hours) for o in offers),
        spot=np.array([o.capacity_type == "spot" for o in offers], dtype=np.bool_),
        open=np.array([bar is None for bar in bars], dtype=np.bool_),
        region=np.array([o.pool.region for o in offers], dtype=np.str_),
        architecture=np.array([o.pool.architecture for o in offers], dtype=np.str_),
        gpu_model=np.array([o.pool.gpu_model or "" for o in offers], dtype=np.str_),
        family=np.array([o.family for o in offers], dtype=np.str_),
        at={(o.place, o.capacity_type): j for j, o in enumerate(offers)},
    )


def _bar(cluster: Cluster, offer: Offer, policy: Policy) -> Bar | None:
    placed = _barred_by_place(cluster, offer) or _barred_by_size(cluster, offer)
    return placed or _barred_by_risk(cluster, offer, policy)


def _barred_by_place(cluster: Cluster, offer: Offer) -> Bar | None:
    allowed, pool = cluster.constraints, offer.pool
    lists: tuple[tuple[str, tuple[str, ...] | None, str], ...] = (
        ("allowed_regions", allowed.allowed_regions, pool.region),
        ("allowed_availability_zones", allowed.allowed_availability_zones, pool.availability_zone),
        ("allowed_families", allowed.allowed_families, offer.family),
        ("allowed_architectures", allowed.allowed_architectures, pool.architecture),
        ("allowed_gpu_models", allowed.allowed_gpu_models if pool.gpus else None, pool.gpu_model or "unknown"),
    )
    for name, permitted, value in lists:
        if permitted is not None and value not in permitted:
            return Bar(name, f"{value} is not among {', '.join(permitted) or 'none'}")
    wanted = cluster.requirements.architecture
    if wanted is not None and pool.architecture != wanted:
        return Bar("architecture", f"it is {pool.architecture}, the cluster needs {wanted}")
    return None


def _barred_by_size(cluster: Cluster, offer: Offer) -> Bar | None:
    needs, pool = cluster.requirements, offer.pool
    if pool.vcpu < needs.min_node_vcpu:
        return Bar("min_node_vcpu", "too few vCPUs for one node", pool.vcpu, needs.min_node_vcpu)
    if pool.memory_gib < needs.min_node_memory_gib:
        return Bar("min_node_memory_gib", "too little memory", pool.memory_gib, needs.min_node_memory_gib)
    return None


def _barred_by_risk(cluster: Cluster, offer: Offer, policy: Policy) -> Bar | None:
    if offer.capacity_type == "on_demand":
        return None
    if not policy.spot:
        return Bar("policy", f"{policy.engine} buys no spot capacity")
    probability = offer.probability_within(limit_hours(cluster, offer))
    if probability is None:
        return Bar("prediction", "nobody has predicted its interruptions")
    highest = cluster.constraints.max_interruption_probability
    if too_probable(probability, highest):
        return Bar("max_interruption_probability", "it is interrupted too often", probability, highest)
    return None


def limit_hours(cluster: Cluster, offer: Offer) -> float:
    """Return the horizon (hours) that the cluster's limit on interruptions is about, for this offer."""
    return cluster.constraints.interruption_horizon_hours or offer.pool.horizon_hours


def too_probable(probability: float, highest: float) -> bool:
    """Whether `probability` is over the limit by more than a rounding error."""
    return probability > highest + 1e-9
