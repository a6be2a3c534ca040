"""What a cluster's constraints and requirements say of a pool, a move and the whole: a name and words."""

from collections import Counter
from dataclasses import dataclass, field, replace

from engines.actions import ActionType
from engines.facts import CapacityType, Cluster, Node, PoolFacts

TOLERANCE = 1e-9
Bound = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Totals:
    """What a cluster's nodes offer and cost together; `pools` counts spot nodes by (region, zone, type)."""

    vcpu: float = 0.0
    on_demand_vcpu: float = 0.0
    memory_gib: float = 0.0
    gpus: int = 0
    nodes: int = 0
    price: float = 0.0
    pools: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def plus_node(self, node: Node, price: float, count: int = 1) -> "Totals":
        """With a running node more, or less (`count` -1)."""
        place = (node.region, node.availability_zone, node.instance_type)
        size = (node.capacity.vcpu, node.capacity.memory_gib, node.capacity.gpus)
        return self._with(place, size, node.capacity_type, price, count)

    def minus_node(self, node: Node, price: float) -> "Totals":
        """Without a running node."""
        return self.plus_node(node, price, -1)

    def plus(self, pool: PoolFacts, capacity_type: CapacityType, count: int) -> "Totals":
        """With `count` nodes of a pool more."""
        place = (pool.region, pool.availability_zone, pool.instance_type)
        price = pool.price if capacity_type == "spot" else pool.on_demand_price or 0.0
        return self._with(place, (pool.vcpu, pool.memory_gib, pool.gpus), capacity_type, price, count)

    def _with(
        self,
        place: tuple[str, str, str],
        size: tuple[float, float, int],
        capacity_type: CapacityType,
        price: float,
        count: int,
    ) -> "Totals":
        vcpu, memory, gpus = size
        pools = self.pools
        if capacity_type == "spot":
            pools = Counter(pools)
            pools[place] += count
            pools += Counter()
        return replace(
            self,
            vcpu=self.vcpu + vcpu * count,
            on_demand_vcpu=self.on_demand_vcpu + (0.0 if capacity_type == "spot" else vcpu * count),
            memory_gib=self.memory_gib + memory * count,
            gpus=self.gpus + gpus * count,
            nodes=self.nodes + count,
            price=self.price + price * count,
            pools=pools,
        )


def priced(node: Node, pool: PoolFacts | None) -> float | None:
    """What a node costs now (USD per hour): as it says itself, else as its pool does; None when nobody knows."""
    if node.price is not None:
        return node.price
    if pool is None:
        return None
    return pool.price if node.capacity_type == "spot" else pool.on_demand_price


def move_type(node: Node, pool: PoolFacts, capacity_type: CapacityType) -> ActionType:
    """What replacing the node by one of the pool is called; a smaller node is always rightsizing."""
    has = node.capacity
    if pool.vcpu < has.vcpu or pool.memory_gib < has.memory_gib or pool.gpus < has.gpus:
        return "rightsize"
    if capacity_type == "spot":
        return "move_pool" if node.capacity_type == "spot" else "move_to_spot"
    return "fall_back_to_on_demand" if node.capacity_type == "spot" else "rightsize"


def unwanted(cluster: Cluster, pool: PoolFacts, capacity_type: CapacityType, homes: set[str]) -> Bound | None:
    """What keeps new nodes of the pool out of the cluster; `homes` are the regions it is in, empty: in none yet."""
    limits, needs = cluster.constraints, cluster.requirements
    family = pool.instance_type.partition(".")[0]
    lists: tuple[tuple[str, tuple[str, ...] | None, str], ...] = (
        ("allowed_regions", limits.allowed_regions, pool.region),
        ("allowed_availability_zones", limits.allowed_availability_zones, pool.availability_zone),
        ("allowed_families", limits.allowed_families, family),
        ("allowed_architectures", limits.allowed_architectures, pool.architecture),
        ("allowed_gpu_models", limits.allowed_gpu_models if pool.gpus else None, pool.gpu_model or "unknown"),
        ("architecture", (needs.architecture,) if needs.architecture else None, pool.architecture),
    )
    for name, allowed, value in lists:
        if allowed is not None and value not in allowed:
            return name, f"{value} is not among {', '.join(allowed) or 'none'}"
    if pool.vcpu < needs.min_node_vcpu:
        return "min_node_vcpu", f"one node has {pool.vcpu:g} vCPUs, and {needs.min_node_vcpu:g} are wanted"
    if pool.memory_gib < needs.min_node_memory_gib:
        return "min_node_memory_gib", f"one node has {pool.memory_gib:g} GiB, not {needs.min_node_memory_gib:g}"
    if homes and pool.region not in homes and not limits.cross_region_allowed:
        return "cross_region_allowed", f"it is outside {', '.join(sorted(homes))}"
    if capacity_type == "on_demand":
        return None if pool.on_demand_price is not None else ("on_demand_price", "its on-demand price is unknown")
    return too_risky(cluster, pool)


def too_risky(cluster: Cluster, pool: PoolFacts) -> Bound | None:
    """Whether a spot pool is interrupted more often than the cluster allows, or nobody knows how often."""
    if pool.interruption_probability is None:
        return "prediction", "nobody has predicted its interruptions"
    limits = cluster.constraints
    hours = limits.interruption_horizon_hours or pool.horizon_hours
    within = 1 - (1 - pool.interruption_probability) ** (hours / pool.horizon_hours)
    if within > limits.max_interruption_probability + TOLERANCE:
        return "max_interruption_probability", f"it is interrupted with probability {within:.4g} within {hours:g} h"
    return None


def unfit(node: Node, pool: PoolFacts, capacity_type: CapacityType) -> Bound | None:
    """Why a node's load cannot go to one node of the pool."""
    if pool.architecture != node.architecture:
        return "architecture", f"it is {pool.architecture}, the node's pods run on {node.architecture}"
    asked, has = node.requested, node.capacity
    if asked.cpu * has.vcpu > pool.vcpu + TOLERANCE or asked.memory * has.memory_gib > pool.memory_gib + TOLERANCE:
        return "capacity", "what the node has promised its pods does not fit"
    if asked.gpus > pool.gpus:
        return "capacity", "it has too few GPUs"
    if node.utilisation is None and move_type(node, pool, capacity_type) == "rightsize":
        return "utilisation", "it would be rightsized, and its utilisation is unknown"
    return None


def over_limits(cluster: Cluster, before: Totals, after: Totals) -> Bound | None:
    """The limit over the whole cluster that `after` breaks; one that failed before may still, but not by more."""
    needs, limits = cluster.requirements, cluster.constraints
    share = limits.min_on_demand_share
    # A cluster that had enough pools for its spot nodes must have enough for those it gets.
    had_enough = len(before.pools) >= min(limits.min_pools, before.pools.total())
    spread = limits.min_pools if had_enough else len(before.pools)
    floors = (
        ("vcpu", needs.vcpu, before.vcpu, after.vcpu),
        ("memory_gib", needs.memory_gib, before.memory_gib, after.memory_gib),
        ("gpus", needs.gpus, before.gpus, after.gpus),
        ("min_nodes", needs.min_nodes, before.nodes, after.nodes),
        (
            "min_on_demand_share",
            0.0,
            before.on_demand_vcpu - share * before.vcpu,
            after.on_demand_vcpu - share * after.vcpu,
        ),
        ("min_pools", min(limits.min_pools, after.pools.total()), spread, len(after.pools)),
    )
    for name, wanted, was, is_ in floors:
        if is_ < min(wanted, was) - TOLERANCE:
            return name, f"it would leave {is_:.4g} where {min(wanted, was):.4g} is wanted"
    tops = (
        ("max_nodes", needs.max_nodes, before.nodes, after.nodes),
        ("budget_usd_per_hour", limits.budget_usd_per_hour, before.price, after.price),
    )
    for name, most, was, is_ in tops:
        if most is not None and is_ > max(most, was) + TOLERANCE:
            return name, f"it would bring {is_:.4g} where {max(most, was):.4g} is allowed"
    return None
