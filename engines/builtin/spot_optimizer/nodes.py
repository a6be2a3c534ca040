"""What is known and wanted of each node, and nodes that are alike gathered into classes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from engines.builtin.spot_optimizer.config import OptimizerConfig, Policy
from engines.builtin.spot_optimizer.offers import Bools, Offer, Offers, limit_hours, offer_of, too_probable
from engines.facts import Cluster, Node, PoolFacts

Pin = Literal["stateful", "do_not_disrupt", "price_unknown", "receives_load"]
Force = Literal["interruption_notice", "max_interruption_probability", "policy"]
# Sums of products of shares carry rounding errors far below a thousandth of a vCPU.
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Load:
    """vCPUs (count), memory (GiB) and GPUs (count) that a node's pods need."""

    vcpu: float
    memory: float
    gpus: int

    def __add__(self, other: "Load") -> "Load":
        return Load(self.vcpu + other.vcpu, self.memory + other.memory, self.gpus + other.gpus)


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node with what it costs, what it needs, and why it must stay (`pin`) or go (`force`)."""

    node: Node
    price: float | None
    offer: Offer | None
    load: Load
    use_known: bool
    pin: Pin | None
    force: Force | None

    @property
    def cost(self) -> float:
        """Price plus the expected cost of interruptions (USD per hour); 0 when the price is unknown."""
        risk = self.offer.hazard * self.offer.interruption_usd if self.offer else 0.0
        return (self.price or 0.0) + risk

    @property
    def spot(self) -> bool:
        """Whether the node is bought on spot."""
        return self.node.capacity_type == "spot"

    @property
    def place(self) -> tuple[str, str, str]:
        """Region, zone and type: with the cluster's product, the pool."""
        return (self.node.region, self.node.availability_zone, self.node.instance_type)


@dataclass(frozen=True, slots=True)
class NodeClass:
    """Nodes that differ in nothing that matters here; columns are as long as the offers.

    `eligible` says which offers may replace one of them; `why_not` indexes REFUSALS for the others.
    """

    members: tuple[NodeState, ...]
    eligible: Bools
    why_not: npt.NDArray[np.int8]

    @property
    def one(self) -> NodeState:
        """Any of them."""
        return self.members[0]


# Index 0 is for offers barred for the whole cluster, whose bar has the name.
REFUSALS = ("barred", "current", "cross_region_allowed", "architecture", "gpu_model", "capacity", "utilisation")


def states_of(
    cluster: Cluster, pools: Mapping[tuple[str, str, str], PoolFacts], config: OptimizerConfig, policy: Policy
) -> list[NodeState]:
    """Return the state of each node; `pools` are those of the cluster's product by place."""
    return [_state(cluster, node, pools, config, policy) for node in cluster.nodes]


def _state(
    cluster: Cluster,
    node: Node,
    pools: Mapping[tuple[str, str, str], PoolFacts],
    config: OptimizerConfig,
    policy: Policy,
) -> NodeState:
    pool = pools.get((node.region, node.availability_zone, node.instance_type))
    offer = None
    if pool is not None and (node.capacity_type == "spot" or pool.on_demand_price is not None):
        offer = offer_of(pool, node.capacity_type, config)
    price = node.price if node.price is not None else (offer.price if offer else None)
    pin: Pin | None = None
    if node.do_not_disrupt:
        pin = "do_not_disrupt"
    elif node.stateful:
        pin = "stateful"
    elif price is None:
        pin = "price_unknown"
    known = node.utilisation is not None and node.utilisation.window_hours >= config.min_utilisation_window_hours
    return NodeState(node, price, offer, _load(node, known, config), known, pin, _force(cluster, node, offer, policy))


def _load(node: Node, known: bool, config: OptimizerConfig) -> Load:
    """Return what is requested, and no less than what is used with headroom (at most the node) where that is known."""
    cpu, memory = node.requested.cpu, node.requested.memory
    if known and node.utilisation is not None:
        room = 1 + config.use_headroom
        cpu = max(cpu, min(1.0, node.utilisation.cpu_p95 * room))
        memory = max(memory, min(1.0, node.utilisation.memory_p95 * room))
    return Load(cpu * node.capacity.vcpu, memory * node.capacity.memory_gib, node.requested.gpus)


def _force(cluster: Cluster, node: Node, offer: Offer | None, policy: Policy) -> Force | None:
    if node.capacity_type != "spot":
        return None
    if node.interruption_notice_at is not None:
        return "interruption_notice"
    if not policy.spot:
        return "policy"
    probability = offer.probability_within(limit_hours(cluster, offer)) if offer else None
    if probability is not None and too_probable(probability, cluster.constraints.max_interruption_probability):
        return "max_interruption_probability"
    return None


def classes_of(cluster: Cluster, states: Sequence[NodeState], offers: Offers) -> list[NodeClass]:
    """Gather the nodes by all that matters: what they are, what they cost, and which offers could replace them."""
    found: dict[tuple[object, ...], tuple[list[NodeState], npt.NDArray[np.int8]]] = {}
    for state in states:
        why_not = refusals(cluster, state, state.load, offers)
        key = (*_identity(state), why_not.tobytes())
        found.setdefault(key, ([], why_not))[0].append(state)
    return [NodeClass(tuple(members), why_not < 0, why_not) for members, why_not in found.values()]


def _identity(state: NodeState) -> Iterable[object]:
    node = state.node
    return (
        *state.place,
        node.capacity_type,
        node.architecture,
        (node.capacity.vcpu, node.capacity.memory_gib, node.capacity.gpus),
        state.price,
        state.use_known,
        state.pin,
        state.force,
    )


def refusals(cluster: Cluster, state: NodeState, load: Load, offers: Offers) -> npt.NDArray[np.int8]:
    """Return, per offer, the first reason in REFUSALS against replacing the node, with this load, by it; else -1."""
    node = state.node
    current = np.zeros(len(offers.offers), dtype=np.bool_)
    if (here := offers.at.get((state.place, node.capacity_type))) is not None:
        current[here] = True
    fits = (offers.vcpu >= load.vcpu - TOLERANCE) & (offers.memory >= load.memory - TOLERANCE)
    fits &= offers.gpus >= load.gpus
    smaller = (offers.vcpu < node.capacity.vcpu) | (offers.memory < node.capacity.memory_gib)
    smaller |= offers.gpus < node.capacity.gpus
    # On demand to on demand is no move between markets: it only makes sense as rightsizing.
    resizes = smaller | (~offers.spot & (not state.spot))
    wrong_gpu = np.zeros(len(offers.offers), dtype=np.bool_)
    if load.gpus:
        model = state.offer.pool.gpu_model if state.offer else None
        family = node.instance_type.split(".")[0]
        wrong_gpu = (offers.gpu_model != model) if model else (offers.family != family)
    refused = np.full(len(offers.offers), -1, dtype=np.int8)
    tests: tuple[Bools, ...] = (
        ~offers.open,
        current,
        (offers.region != node.region) & (not cluster.constraints.cross_region_allowed),
        offers.architecture != node.architecture,
        wrong_gpu,
        ~fits,
        resizes & (not state.use_known),
    )
    for code in reversed(range(len(tests))):
        refused[tests[code]] = code
    return refused
