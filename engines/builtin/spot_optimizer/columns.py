"""The variables of the mix: for each class of nodes staying or one of its offers, and launches of what is missing."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engines.builtin.spot_optimizer.config import OptimizerConfig, Policy
from engines.builtin.spot_optimizer.nodes import NodeClass
from engines.builtin.spot_optimizer.offers import Bools, Floats, Offers
from engines.builtin.spot_optimizer.packing import Pattern, nodes_for, patterns_for
from engines.facts import Cluster

# More than any real node costs per hour, so that what must go stays only if nothing else is possible.
FORCED_STAY_USD = 5_000.0
# Prefers staying, and launching fewer nodes, where costs are equal.
_LEAST_GAIN_USD = 1e-7
_SPOT_PER_CLASS = 8
_ON_DEMAND_PER_CLASS = 3


@dataclass(frozen=True, slots=True)
class Column:
    """One variable: up to `upper` nodes of one kind; amounts are per node.

    `of_class` is -1 for launches, `offer` is -1 for staying; `objective` is in USD per hour. `pods` are the waiting
    pods on each launched node, as a count per group; empty when none wait.
    """

    of_class: int
    offer: int
    upper: float
    objective: float
    price: float
    vcpu: float
    memory: float
    gpus: int
    spot: bool
    place: tuple[str, str, str]
    pods: Pattern = ()

    @property
    def stays(self) -> bool:
        """Whether the nodes stay as they are."""
        return self.offer < 0

    @property
    def moves(self) -> bool:
        """Whether running nodes are disrupted."""
        return self.of_class >= 0 and self.offer >= 0


def columns_of(
    cluster: Cluster, classes: list[NodeClass], offers: Offers, config: OptimizerConfig, policy: Policy, *, launch: bool
) -> tuple[Column, ...]:
    """Return all variables, each class's together, launches last; without `launch` nothing is launched."""
    nearest, undominated = (_cheapest, _cheapest_cover) if policy.cheapest_only else (_nearest, _undominated)
    columns: list[Column] = []
    for k, node_class in enumerate(classes):
        columns.append(_staying(k, node_class))
        if node_class.one.pin is None:
            gains = least_savings(cluster, node_class, offers)
            size = len(node_class.members)
            columns += [
                _bought(k, int(j), float(size), float(gains[j]), offers)
                for j in nearest(cluster, node_class.eligible, offers, config)
            ]
    if launch and is_short(cluster, classes):
        columns += _launches(cluster, undominated(cluster, offers, config), offers)
    return tuple(columns)


def _launches(cluster: Cluster, chosen: npt.NDArray[np.intp], offers: Offers) -> list[Column]:
    """Return one column per offer, or per offer and pattern of waiting pods, an empty node included."""
    groups = cluster.requirements.pods
    plain = [_bought(-1, int(j), math.inf, _LEAST_GAIN_USD, offers) for j in chosen]
    if not groups:
        return plain
    found = []
    known: dict[tuple[float, float, int], tuple[Pattern, ...]] = {}
    for column in plain:
        size = (column.vcpu, column.memory, column.gpus)
        if size not in known:
            known[size] = patterns_for(groups, *size)
        empty: Pattern = (0,) * len(groups)
        found += [replace(column, pods=pattern) for pattern in (*known[size], empty)]
    return found


def least_savings(cluster: Cluster, node_class: NodeClass, offers: Offers) -> Floats:
    """Return, per offer, what a voluntary move of one such node must save (USD per hour); nothing when it must go."""
    if node_class.one.force is not None:
        return np.zeros(len(offers.offers))
    return np.maximum(asked_saving(cluster, node_class), moving_costs(node_class, offers))


def asked_saving(cluster: Cluster, node_class: NodeClass) -> float:
    """Return what the user wants a voluntary move of one such node to save (USD per hour)."""
    limits = cluster.constraints
    share = limits.min_savings_percent / 100 * (node_class.one.price or 0.0)
    return max(limits.min_savings_usd_per_hour, share, _LEAST_GAIN_USD)


def moving_costs(node_class: NodeClass, offers: Offers) -> Floats:
    """Return, per offer, what moving such a node there costs (USD per hour): it runs on while its successor starts."""
    return offers.move_share * (node_class.one.price or 0.0)


def is_short(cluster: Cluster, classes: list[NodeClass]) -> bool:
    """Whether pods wait, or the nodes that run offer less than the requirements ask for."""
    needs = cluster.requirements
    if needs.pods:
        return True
    nodes = [state.node.capacity for node_class in classes for state in node_class.members]
    return (
        sum(n.vcpu for n in nodes) < needs.vcpu
        or sum(n.memory_gib for n in nodes) < needs.memory_gib
        or sum(n.gpus for n in nodes) < needs.gpus
        or len(nodes) < needs.min_nodes
    )


def _staying(k: int, node_class: NodeClass) -> Column:
    one = node_class.one
    forced = FORCED_STAY_USD if one.force is not None and one.pin is None else 0.0
    capacity = one.node.capacity
    return Column(
        of_class=k,
        offer=-1,
        upper=float(len(node_class.members)),
        objective=one.cost + forced,
        price=one.price or 0.0,
        vcpu=capacity.vcpu,
        memory=capacity.memory_gib,
        gpus=capacity.gpus,
        spot=one.spot,
        place=one.place,
    )


def _bought(k: int, j: int, upper: float, gain: float, offers: Offers) -> Column:
    pool = offers.offers[j].pool
    return Column(
        of_class=k,
        offer=j,
        upper=upper,
        objective=float(offers.cost[j]) + gain,
        price=float(offers.price[j]),
        vcpu=pool.vcpu,
        memory=pool.memory_gib,
        gpus=pool.gpus,
        spot=bool(offers.spot[j]),
        place=offers.offers[j].place,
    )


def _pools_needed(cluster: Cluster, config: OptimizerConfig) -> int:
    return max(cluster.constraints.min_pools, math.ceil(1 / config.max_pool_share))


def _nearest(cluster: Cluster, eligible: Bools, offers: Offers, config: OptimizerConfig) -> npt.NDArray[np.intp]:
    """Return the cheapest eligible offers: enough spot pools to spread over, and the cheapest on demand."""
    picked: list[npt.NDArray[np.intp]] = []
    enough = _SPOT_PER_CLASS + _pools_needed(cluster, config)
    for kind, most in ((offers.spot, enough), (~offers.spot, _ON_DEMAND_PER_CLASS)):
        found = np.flatnonzero(eligible & kind)
        picked.append(found[np.argsort(offers.cost[found], kind="stable")[:most]])
    return np.concatenate(picked)


def _undominated(cluster: Cluster, offers: Offers, config: OptimizerConfig) -> npt.NDArray[np.intp]:
    """Return open offers that few others beat in everything: size, cost and price, bought the same way."""
    picked: list[npt.NDArray[np.intp]] = []
    for kind, most in ((offers.spot, 1 + _pools_needed(cluster, config)), (~offers.spot, 1)):
        found = np.flatnonzero(offers.open & kind)
        found = found[np.lexsort((found, offers.cost[found]))]
        beaten = np.zeros((len(found), len(found)), dtype=np.int8)
        for values, better in (
            (offers.vcpu, 1),
            (offers.memory, 1),
            (offers.gpus, 1),
            (offers.cost, -1),
            (offers.price, -1),
        ):
            v = values[found] * better
            beaten += (v[None, :] >= v[:, None]).astype(np.int8)
        everything = 5
        dominators = (beaten == everything) & (np.arange(len(found))[None, :] < np.arange(len(found))[:, None])
        picked.append(found[dominators.sum(axis=1) < most])
    return np.concatenate(picked)


def _cheapest(cluster: Cluster, eligible: Bools, offers: Offers, config: OptimizerConfig) -> npt.NDArray[np.intp]:
    """Return the one cheapest eligible pool (as many as `min_pools` asks for), and the cheapest on demand."""
    picked = []
    for kind, most in ((offers.spot, cluster.constraints.min_pools), (~offers.spot, 1)):
        found = np.flatnonzero(eligible & kind)
        picked.append(found[np.argsort(offers.cost[found], kind="stable")[:most]])
    return np.concatenate(picked)


def _cheapest_cover(cluster: Cluster, offers: Offers, config: OptimizerConfig) -> npt.NDArray[np.intp]:
    """Return the one pool that meets all requirements by itself at the least price, and the same on demand."""
    needs = cluster.requirements
    count = np.maximum(np.ceil(needs.vcpu / offers.vcpu), np.ceil(needs.memory_gib / offers.memory))
    with np.errstate(divide="ignore"):
        for_gpus = np.ceil(needs.gpus / offers.gpus) if needs.gpus else 0.0
    count = np.maximum(np.maximum(count, for_gpus), max(1, needs.min_nodes))
    if needs.pods:
        sizes = zip(offers.vcpu.tolist(), offers.memory.tolist(), offers.gpus.tolist(), strict=True)
        count = np.maximum(count, [nodes_for(needs.pods, *size) for size in sizes])
    fits = count <= (math.inf if needs.max_nodes is None else needs.max_nodes)
    price = np.round(np.where(fits, count * offers.cost, math.inf), 9)
    picked = []
    for kind, most in ((offers.spot, cluster.constraints.min_pools), (~offers.spot, 1)):
        found = np.flatnonzero(offers.open & kind & np.isfinite(price))
        picked.append(found[np.lexsort((count[found], price[found]))[:most]])
    return np.concatenate(picked)
