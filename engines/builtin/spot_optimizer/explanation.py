"""Actions with their reasons, numbers, preconditions and rejected alternatives."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engines.actions import Action, ActionType, Reason, RejectedAlternative, Risk, Savings, Target
from engines.builtin.spot_optimizer import savings
from engines.builtin.spot_optimizer.binding import PIN_NAMES, Rejections, WhyNot, target_of
from engines.builtin.spot_optimizer.columns import Column, asked_saving
from engines.builtin.spot_optimizer.config import OptimizerConfig
from engines.builtin.spot_optimizer.consolidation import Drain
from engines.builtin.spot_optimizer.nodes import NodeClass, NodeState
from engines.builtin.spot_optimizer.offers import Offer, Offers
from engines.facts import Cluster

_HOURS = 1.0
_ID_LENGTH = 255
_PINNED = {
    "stateful": "its pods hold state that a move would lose",
    "do_not_disrupt": "the operator forbids any disruption",
    "price_unknown": "nobody knows what it costs now, so nothing can be called cheaper",
    "receives_load": "it takes the load of nodes that are consolidated into it",
}
_UNDO = {
    "consolidate": "uncordon the drained nodes; once ended, launch as many of the same type again",
    "launch": "terminate the launched nodes",
    "replace": "uncordon the old nodes and terminate the new ones; once ended, launch the old type again",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What all actions of one cluster share."""

    cluster: Cluster
    offers: Offers
    config: OptimizerConfig
    as_of: datetime
    data_as_of: datetime
    why_not: WhyNot
    failing: tuple[str, ...]

    @property
    def valid_until(self) -> datetime:
        """When the decision expires."""
        return self.as_of + timedelta(minutes=self.config.valid_minutes)


def kept(setting: Setting, node_class: NodeClass, members: Sequence[NodeState], column: Column) -> Action:
    """Return the hold of nodes that stay as they are."""
    rejections = _rejected_by_pin(node_class) or setting.why_not.for_class(node_class, column, frozenset())
    return _action(
        setting,
        "hold",
        members,
        None,
        _risk(node_class.one.offer),
        savings.NOTHING,
        _hold_reasons(node_class),
        rejections,
    )


def replaced(
    setting: Setting, node_class: NodeClass, members: Sequence[NodeState], column: Column, chosen: frozenset[int]
) -> Action:
    """Return the action that replaces `members` by the column's offer; `chosen` are all offers their class goes to."""
    offer, one = setting.offers.offers[column.offer], node_class.one
    kind = action_type(one, offer)
    saved = savings.replacing(one, offer, len(members), setting.config)
    rejections = setting.why_not.for_class(node_class, column, chosen)
    reasons = _move_reasons(setting, node_class, offer, saved)
    target = target_of(offer, len(members))
    return _action(setting, kind, members, target, _risk(offer), saved, reasons, rejections, offer=offer)


def launched(setting: Setting, column: Column, count: int, chosen: frozenset[int]) -> Action:
    """Return the action that launches `count` nodes which the requirements ask for and nobody runs."""
    offer = setting.offers.offers[column.offer]
    kind: ActionType = "move_to_spot" if offer.capacity_type == "spot" else "fall_back_to_on_demand"
    numbers = {
        "nodes": float(count),
        "price_usd_per_hour": offer.price,
        "expected_cost_usd_per_hour": offer.expected_cost,
        "interruptions_per_hour": offer.hazard,
        "vcpu_per_node": offer.pool.vcpu,
    }
    groups = [group.name for group in setting.cluster.requirements.pods]
    pods = {name: number for name, number in zip(groups, column.pods, strict=False) if number}
    numbers |= {f"pods_per_node_{name}": float(number) for name, number in pods.items()}
    reason = Reason(
        code="required", text="The requirements ask for more than the cluster's nodes offer.", numbers=numbers
    )
    rejections = setting.why_not.for_launch(column, chosen)
    saved = savings.launching(offer, count, setting.config)
    target = target_of(offer, count)
    return _action(setting, kind, (), target, _risk(offer), saved, (reason,), rejections, offer=offer, pods=pods)


def drained(setting: Setting, drain: Drain) -> Action:
    """Return the consolidation of a receiver's drained nodes."""
    receiver, gone = drain.receiver, drain.drained
    node = receiver.node
    target = Target(
        region=node.region,
        availability_zone=node.availability_zone,
        instance_type=node.instance_type,
        capacity_type=node.capacity_type,
        count=0,
    )
    load = sum(s.load.vcpu for s in gone) + receiver.load.vcpu
    memory = sum(s.load.memory for s in gone) + receiver.load.memory
    reason = Reason(
        code="fits_elsewhere",
        text=f"The load of {len(gone)} node(s) fits into what {node.node_id} has free.",
        numbers={
            "vcpu_needed": load,
            "vcpu_of_receiver": node.capacity.vcpu,
            "memory_needed_gib": memory,
            "memory_of_receiver_gib": node.capacity.memory_gib,
        },
    )
    rejected = RejectedAlternative(
        constraint="cost", detail="replacing a drained node buys what ending it saves", value=gone[0].price
    )
    saved = savings.ending(gone, setting.config)
    rejections = Rejections((rejected,), {"cost": 1})
    return _action(
        setting, "consolidate", gone, target, _risk(receiver.offer), saved, (reason,), rejections, receiver=receiver
    )


def action_type(state: NodeState, offer: Offer) -> ActionType:
    """Return what replacing the node by the offer is called; a smaller node is always rightsizing."""
    capacity, pool = state.node.capacity, offer.pool
    if pool.vcpu < capacity.vcpu or pool.memory_gib < capacity.memory_gib or pool.gpus < capacity.gpus:
        return "rightsize"
    if offer.capacity_type == "spot":
        return "move_pool" if state.spot else "move_to_spot"
    return "fall_back_to_on_demand" if state.spot else "rightsize"


def _action(
    setting: Setting,
    kind: ActionType,
    members: Sequence[NodeState],
    target: Target | None,
    risk: Risk,
    saved: Savings,
    reasons: tuple[Reason, ...],
    rejections: Rejections,
    *,
    offer: Offer | None = None,
    receiver: NodeState | None = None,
    pods: dict[str, int] | None = None,
) -> Action:
    first = members[0].node.node_id if members else "launch"
    holding = "".join(f":{name}={number}" for name, number in (pods or {}).items())
    place = f"{target.availability_zone}/{target.instance_type}/{target.capacity_type}" if target else "stay"
    undo = "" if kind == "hold" else _UNDO["consolidate" if receiver else "replace" if members else "launch"]
    return Action(
        action_id=_short(f"{kind}:{first}:{place}{holding}"),
        type=kind,
        node_ids=tuple(state.node.node_id for state in members),
        receiving_node_ids=(receiver.node.node_id,) if receiver else (),
        target=target,
        pods_per_node=pods or {},
        score=_score(kind, members, saved, risk, reasons),
        risk=risk,
        savings=saved,
        reasons=reasons,
        rejected=rejections.listed,
        rejected_counts=rejections.counts,
        preconditions=_preconditions(setting, kind, members, offer, saved),
        valid_until=setting.valid_until,
        rollback=undo,
        data_as_of=min([setting.data_as_of, *([offer.pool.data_as_of] if offer else [])]),
    )


def _short(name: str) -> str:
    """Return a name that fits an id, still unique when it had to be cut."""
    return name if len(name) <= _ID_LENGTH else f"{name[: _ID_LENGTH - 17]}#{zlib.crc32(name.encode()):016x}"


def _score(
    kind: ActionType, members: Sequence[NodeState], saved: Savings, risk: Risk, reasons: tuple[Reason, ...]
) -> float:
    """Return 0 for hold, 1 for what is required, else the saved part of the cost, weighed by confidence."""
    if kind == "hold":
        return 0.0
    if reasons[0].code == "required":
        return 1.0
    cost = sum(state.cost for state in members)
    confidence = 1.0 if risk.confidence is None else 0.5 + 0.5 * risk.confidence
    return min(1.0, max(0.0, saved.p50 / cost * confidence)) if cost > 0 else 0.0


def _risk(offer: Offer | None) -> Risk:
    if offer is None:
        return Risk(probability=None, horizon_hours=_HOURS)
    pool, spot = offer.pool, offer.capacity_type == "spot"
    return Risk(
        probability=offer.pool.interruption_probability if spot else 0.0,
        horizon_hours=pool.horizon_hours,
        confidence=pool.confidence if spot else None,
        calibration=pool.calibration if spot else "unknown",
    )


def _hold_reasons(node_class: NodeClass) -> tuple[Reason, ...]:
    one = node_class.one
    numbers = {"cost_usd_per_hour": one.cost}
    if one.pin is not None:
        reasons = [Reason(code=one.pin, text=f"It stays: {_PINNED[one.pin]}.", numbers=numbers)]
    elif one.force is not None:
        reasons = [Reason(code="nowhere_to_go", text="It should go, and nothing allowed can take it.", numbers=numbers)]
    else:
        reasons = [Reason(code="no_better", text="Nothing allowed is cheaper for the cluster.", numbers=numbers)]
    if not one.use_known:
        reasons.append(
            Reason(code="utilisation_unknown", text="Its utilisation is unknown, so it is not rightsized.", numbers={})
        )
    return tuple(reasons)


def _rejected_by_pin(node_class: NodeClass) -> Rejections | None:
    pin = node_class.one.pin
    if pin is None:
        return None
    name = PIN_NAMES.get(pin, "cost")
    allowed = len(node_class.eligible) or 1
    listed = RejectedAlternative(constraint=name, detail=f"every alternative: {_PINNED[pin]}")
    return Rejections((listed,), {name: allowed})


def _move_reasons(setting: Setting, node_class: NodeClass, offer: Offer, saved: Savings) -> tuple[Reason, ...]:
    one = node_class.one
    numbers = {
        "cost_now_usd_per_hour": one.cost,
        "price_then_usd_per_hour": offer.price,
        "expected_cost_then_usd_per_hour": offer.expected_cost,
        "interruptions_per_hour": offer.hazard,
        "saved_usd_per_hour": saved.p50,
    }
    reasons = []
    if one.force is not None:
        text = f"The node has to go: {one.force.replace('_', ' ')}."
        reasons.append(Reason(code="required", text=text, numbers=numbers))
    elif one.cost - offer.expected_cost < asked_saving(setting.cluster, node_class):
        text = f"The cluster's constraints ask for it: {', '.join(setting.failing) or 'together with other moves'}."
        reasons.append(Reason(code="required", text=text, numbers=numbers))
    else:
        reasons.append(Reason(code="cheaper", text="It costs less, interruptions included.", numbers=numbers))
    if action_type(one, offer) == "rightsize":
        reasons.append(_rightsize_reason(one, offer))
    return tuple(reasons)


def _rightsize_reason(one: NodeState, offer: Offer) -> Reason:
    return Reason(
        code="fits_use",
        text="What its pods request, and what they use with headroom, fits.",
        numbers={
            "vcpu_needed": one.load.vcpu,
            "vcpu_then": offer.pool.vcpu,
            "memory_needed_gib": one.load.memory,
            "memory_then_gib": offer.pool.memory_gib,
        },
    )


def _preconditions(
    setting: Setting, kind: ActionType, members: Sequence[NodeState], offer: Offer | None, saved: Savings
) -> tuple[str, ...]:
    if kind == "hold":
        return ()
    given = []
    if members:
        given.append("the nodes still run, and their pods request no more than at the decision")
    if kind == "consolidate":
        given.append("the receiving node still has the room, its limit on pods included")
    if offer is not None and offer.capacity_type == "spot":
        highest = offer.price + max(0.0, saved.p50) / max(1, len(members))
        given.append(f"the spot price is at most {highest:.6f} USD per hour")
        limit = setting.cluster.constraints.max_interruption_probability
        if limit < 1:
            given.append(f"the predicted interruption probability is at most {limit:g}")
    return tuple(given)
