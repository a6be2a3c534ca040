"""Why not another offer: for each offer that was not chosen, the constraint that bound it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.actions import RejectedAlternative, Target
from engines.builtin.spot_optimizer.columns import Column, moving_costs
from engines.builtin.spot_optimizer.config import OptimizerConfig
from engines.builtin.spot_optimizer.mix import Mix, joint_of
from engines.builtin.spot_optimizer.nodes import REFUSALS, TOLERANCE, NodeClass
from engines.builtin.spot_optimizer.offers import Bar, Bools, Offer, Offers
from engines.facts import Cluster

_DETAILS = {
    "stateful": "the node's pods hold state that a move would lose",
    "do_not_disrupt": "the operator forbids any disruption of the node",
    "disruption": "the node takes the load of nodes that are consolidated into it",
    "min_nodes": "the cluster would have too few nodes",
    "current": "it is what the node runs on",
    "cross_region_allowed": "it is in another region",
    "architecture": "it is of another architecture",
    "gpu_model": "it has other GPUs",
    "capacity": "it does not hold what the node's pods need",
    "utilisation": "smaller or other on-demand types need a known utilisation",
    "cost": "it costs more, interruptions included, or gains nothing for the cluster as a whole",
    "min_on_demand_share": "the on-demand share would fall below its minimum",
    "budget_usd_per_hour": "the cluster would cost more than its budget",
    "deadline": "there is no time left for one more disruption",
    "max_pool_share": "too many of the spot nodes would be in its pool",
    "max_joint_share": "too many of the spot nodes would be lost together with its zone and family",
    "hold_hours": "it saves less than moving there costs",
    "min_pools": "the spot nodes would be in too few pools",
    "min_savings_percent": "it saves too small a part of the node's cost",
    "min_savings_usd_per_hour": "it saves too little",
    "vcpu": "the cluster would have too few vCPUs",
    "memory_gib": "the cluster would have too little memory",
    "gpus": "the cluster would have too few GPUs",
}

# Why a node is left alone → the name of what bound every alternative.
PIN_NAMES = {"stateful": "stateful", "do_not_disrupt": "do_not_disrupt", "receives_load": "disruption"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The cluster as the mix leaves it: totals over all nodes."""

    vcpu: float
    memory: float
    gpus: float
    on_demand_vcpu: float
    price: float
    moves: int
    spot: int
    pools: Counter[tuple[str, str, str]]
    joint: Counter[tuple[str, str]]
    shares: dict[str, float]


@dataclass(frozen=True, slots=True)
class Rejections:
    """The listed alternatives and the count of all, by constraint."""

    listed: tuple[RejectedAlternative, ...]
    counts: dict[str, int]


def outcome_of(mix: Mix) -> Outcome:
    """Return the totals of a mix."""
    pairs = [(c, n) for c, n in zip(mix.columns, mix.counts, strict=True) if n]
    pools: Counter[tuple[str, str, str]] = Counter()
    joint: Counter[tuple[str, str]] = Counter()
    for column, count in pairs:
        if column.spot:
            pools[column.place] += count
            joint[joint_of(column.place)] += count
    return Outcome(
        vcpu=sum(c.vcpu * n for c, n in pairs),
        memory=sum(c.memory * n for c, n in pairs),
        gpus=sum(c.gpus * n for c, n in pairs),
        on_demand_vcpu=sum(c.vcpu * n for c, n in pairs if not c.spot),
        price=sum(c.price * n for c, n in pairs),
        moves=sum(n for c, n in pairs if c.moves),
        spot=pools.total(),
        pools=pools,
        joint=joint,
        shares=mix.shares,
    )


class WhyNot:
    """Names the binding constraint for every offer, for one cluster and the mix chosen for it."""

    def __init__(
        self, cluster: Cluster, offers: Offers, config: OptimizerConfig, outcome: Outcome, moves_left: int
    ) -> None:
        self.cluster = cluster
        self.offers = offers
        self.config = config
        self.outcome = outcome
        self.moves_left = moves_left
        self._pool_nodes = np.array(
            [outcome.pools[o.place] for o in offers.offers],
            dtype=np.float64,
        )
        self._joint_nodes = np.array([outcome.joint[joint_of(o.place)] for o in offers.offers], dtype=np.float64)
        self._barred_counts = Counter(bar.constraint for bar in offers.bars if bar is not None)
        self._barred = {bar.constraint: j for j, bar in self._dearest_first() if bar is not None}

    def _dearest_first(self) -> Iterator[tuple[int, Bar | None]]:
        for j in np.argsort(-self.offers.cost, kind="stable"):
            yield int(j), self.offers.bars[int(j)]

    def for_class(self, node_class: NodeClass, column: Column, chosen: frozenset[int]) -> Rejections:
        """Return why no other offer replaces such a node, which `column` keeps or replaces."""
        counts = dict(self._barred_counts)
        shown: list[tuple[int, str]] = []
        for code, name in enumerate(REFUSALS):
            found = np.flatnonzero(node_class.why_not == code)
            if code >= REFUSALS.index("cross_region_allowed") and len(found):
                counts[name] = len(found)
                shown.append((int(found[np.argmin(self.offers.cost[found])]), name))
        eligible = node_class.eligible.copy()
        return self._listed(eligible, column, node_class, chosen, counts, shown)

    def for_launch(self, column: Column, chosen: frozenset[int]) -> Rejections:
        """Return why no other offer is launched instead."""
        return self._listed(self.offers.open.copy(), column, None, chosen, dict(self._barred_counts), [])

    def for_offer(self, j: int, column: Column, node_class: NodeClass | None) -> RejectedAlternative:
        """Return why offer `j` does not take the place of `column`."""
        bar = self.offers.bars[j]
        if bar is not None:
            return self._rejected(j, bar.constraint)
        if node_class is not None and node_class.one.pin is not None:
            return self._rejected(j, PIN_NAMES.get(node_class.one.pin, "cost"))
        if node_class is not None and (code := int(node_class.why_not[j])) >= 0:
            return self._rejected(j, REFUSALS[code])
        return self._rejected(j, str(self._bound(np.array([j]), column, node_class)[0]))

    def _listed(
        self,
        eligible: Bools,
        column: Column,
        node_class: NodeClass | None,
        chosen: frozenset[int],
        counts: dict[str, int],
        shown: list[tuple[int, str]],
    ) -> Rejections:
        eligible[list(chosen)] = False
        found = np.flatnonzero(eligible)
        found = found[np.argsort(self.offers.cost[found], kind="stable")]
        names = self._bound(found, column, node_class)
        for name in names.tolist():
            counts[name] = counts.get(name, 0) + 1
        nearest = list(zip(found.tolist(), names.tolist(), strict=True))
        first = nearest[: self.config.alternatives_listed]
        seen = {name for _, name in first}
        for j, name in nearest:
            if name not in seen:
                seen.add(name)
                first.append((j, name))
        barred = [(j, name) for name, j in sorted(self._barred.items())]
        listed = tuple(self._rejected(j, name) for j, name in (*first, *shown, *barred))
        return Rejections(listed, dict(sorted(counts.items())))

    def _rejected(self, j: int, name: str) -> RejectedAlternative:
        offer, bar = self.offers.offers[j], self.offers.bars[j]
        if bar is not None:
            return RejectedAlternative(
                target=target_of(offer, 1), constraint=name, detail=bar.detail, value=bar.value, limit=bar.limit
            )
        value = offer.expected_cost if name == "cost" else None
        return RejectedAlternative(target=target_of(offer, 1), constraint=name, detail=_DETAILS[name], value=value)

    def _bound(
        self, found: npt.NDArray[np.intp], column: Column, node_class: NodeClass | None
    ) -> npt.NDArray[np.object_]:
        """Return the first constraint that putting one node on each offer instead of `column` would break."""
        names = np.full(len(found), "cost", dtype=object)
        if not len(found):
            return names
        cheaper = self._cheaper(found, column, node_class)
        for name, breaks in self._tests(found, column, node_class):
            names[cheaper & breaks & (names == "cost")] = name
        return names

    def _cheaper(self, found: npt.NDArray[np.intp], column: Column, node_class: NodeClass | None) -> Bools:
        cost = self.offers.cost[found]
        if node_class is None:
            return np.less(cost / self.offers.vcpu[found], column.objective / column.vcpu)
        return np.less(cost, node_class.one.cost if column.stays else self.offers.cost[column.offer])

    def _tests(
        self, found: npt.NDArray[np.intp], column: Column, node_class: NodeClass | None
    ) -> Iterator[tuple[str, Bools]]:
        needs, limits, now, offers = self.cluster.requirements, self.cluster.constraints, self.outcome, self.offers
        vcpu = now.vcpu - column.vcpu + offers.vcpu[found]
        on_demand = now.on_demand_vcpu - (not column.spot) * column.vcpu + ~offers.spot[found] * offers.vcpu[found]
        yield "min_on_demand_share", on_demand < limits.min_on_demand_share * vcpu - TOLERANCE
        yield "vcpu", vcpu < needs.vcpu - TOLERANCE
        yield "memory_gib", now.memory - column.memory + offers.memory[found] < needs.memory_gib - TOLERANCE
        yield "gpus", now.gpus - column.gpus + offers.gpus[found] < needs.gpus
        if limits.budget_usd_per_hour is not None:
            price = now.price - column.price + offers.price[found]
            yield "budget_usd_per_hour", price > limits.budget_usd_per_hour + TOLERANCE
        if column.stays and limits.deadline is not None:
            yield "deadline", np.full(len(found), now.moves >= self.moves_left)
        spot = now.spot - column.spot + offers.spot[found].astype(np.float64)
        here = self._pool_nodes[found] + 1
        yield "max_pool_share", offers.spot[found] & (here > np.ceil(now.shares.get("max_pool_share", 1.0) * spot))
        together = self._joint_nodes[found] + 1
        yield (
            "max_joint_share",
            offers.spot[found] & (together > np.ceil(now.shares.get("max_joint_share", 1.0) * spot)),
        )
        used = len(now.pools) - (column.spot and now.pools[column.place] == 1)
        pools = used + (offers.spot[found] & (here == 1))
        yield "min_pools", pools < np.minimum(limits.min_pools, spot)
        if column.stays and node_class is not None:
            yield from self._too_small_savings(found, node_class)

    def _too_small_savings(self, found: npt.NDArray[np.intp], node_class: NodeClass) -> Iterator[tuple[str, Bools]]:
        limits, one = self.cluster.constraints, node_class.one
        if one.force is not None:
            return
        saved = one.cost - self.offers.cost[found]
        yield "min_savings_usd_per_hour", saved < limits.min_savings_usd_per_hour
        yield "min_savings_percent", saved < limits.min_savings_percent / 100 * (one.price or 0.0)
        yield "hold_hours", saved < moving_costs(node_class, self.offers)[found]


def target_of(offer: Offer, count: int) -> Target:
    """Return `count` nodes of an offer."""
    pool = offer.pool
    return Target(
        region=pool.region,
        availability_zone=pool.availability_zone,
        instance_type=pool.instance_type,
        capacity_type=offer.capacity_type,
        count=count,
    )
