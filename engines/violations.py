"""What a decision breaks: constraints, requirements, loads that no longer fit, nodes that may not be touched.

This is written from the contract alone and shares nothing with any engine. A limit over the whole cluster that failed
before may still fail after, but not by more.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from engines.contract import Action, Cluster, ClusterDecision, DecisionInput, Node, PoolFacts, Resources

_TOLERANCE = 1e-5


@dataclass(slots=True)
class _Totals:
    vcpu: float = 0.0
    on_demand_vcpu: float = 0.0
    memory: float = 0.0
    gpus: int = 0
    nodes: int = 0
    price: float = 0.0
    pools: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, size: Resources, place: tuple[str, str, str], spot: bool, price: float, count: int = 1) -> None:
        self.vcpu += size.vcpu * count
        self.on_demand_vcpu += 0.0 if spot else size.vcpu * count
        self.memory += size.memory_gib * count
        self.gpus += size.gpus * count
        self.nodes += count
        self.price += price * count
        if spot:
            self.pools[place] += count


class _Judge:
    def __init__(self, cluster: Cluster, pools: Sequence[PoolFacts], decision: ClusterDecision) -> None:
        self.cluster = cluster
        self.decision = decision
        self.nodes = {node.node_id: node for node in cluster.nodes}
        self.pools: dict[tuple[str, str, str], PoolFacts] = {}
        for pool in pools:
            if pool.product_description == cluster.product_description:
                self.pools.setdefault((pool.region, pool.availability_zone, pool.instance_type), pool)

    def target(self, action: Action) -> tuple[PoolFacts | None, tuple[str, str, str]]:
        target = action.target
        place = (target.region, target.availability_zone, target.instance_type) if target else ("", "", "")
        return self.pools.get(place), place

    def price(self, node: Node) -> float:
        if node.price is not None:
            return node.price
        pool = self.pools.get((node.region, node.availability_zone, node.instance_type))
        if pool is None:
            return 0.0
        return pool.price if node.capacity_type == "spot" else pool.on_demand_price or 0.0

    def totals(self, *, after: bool) -> _Totals:
        found = _Totals()
        left = {i for a in self.decision.recommendations if a.type != "hold" for i in a.node_ids} if after else set()
        for node in self.cluster.nodes:
            if node.node_id not in left:
                place = (node.region, node.availability_zone, node.instance_type)
                found.add(node.capacity, place, node.capacity_type == "spot", self.price(node))
        for action in self.decision.recommendations if after else ():
            pool, place = self.target(action)
            if action.target is not None and pool is not None and action.target.count:
                size = Resources(vcpu=pool.vcpu, memory_gib=pool.memory_gib, gpus=pool.gpus)
                spot = action.target.capacity_type == "spot"
                price = pool.price if spot else pool.on_demand_price or 0.0
                found.add(size, place, spot, price, action.target.count)
        return found


def violations(given: DecisionInput, decision: ClusterDecision) -> tuple[str, ...]:
    """Return what `decision`, for one cluster of `given`, breaks: one sentence each, empty when nothing."""
    cluster = next(c for c in given.clusters if c.cluster_id == decision.cluster_id)
    judge = _Judge(cluster, given.pools, decision)
    found: list[str] = []
    for action in decision.recommendations:
        if action.type != "hold":
            found += [f"{action.action_id}: {what}" for what in (*_touched(judge, action), *_bought(judge, action))]
            found += [f"{action.action_id}: {what}" for what in _fitted(judge, action)]
            found += [f"{action.action_id}: {what}" for what in _worthwhile(judge, action)]
    return (*found, *_placed(judge), *_limits(judge), *_timed(given, judge), *_planned(judge))


def _touched(judge: _Judge, action: Action) -> Iterator[str]:
    for node_id in action.node_ids:
        node = judge.nodes[node_id]
        if node.stateful or node.do_not_disrupt:
            yield f"{node_id} may not be disrupted"
        if action.type == "rightsize" and node.utilisation is None:
            yield f"{node_id} is rightsized, and its utilisation is unknown"
    moving = {i for a in judge.decision.recommendations if a.type != "hold" for i in a.node_ids}
    if moving & set(action.receiving_node_ids):
        yield "a node that receives load is itself moved"


def _bought(judge: _Judge, action: Action) -> Iterator[str]:
    target, (pool, _) = action.target, judge.target(action)
    if target is None or not target.count:
        return
    if pool is None:
        yield "nobody offers its target"
        return
    limits, needs = judge.cluster.constraints, judge.cluster.requirements
    family = pool.instance_type.split(".")[0]
    for name, allowed, value in (
        ("regions", limits.allowed_regions, pool.region),
        ("zones", limits.allowed_availability_zones, pool.availability_zone),
        ("families", limits.allowed_families, family),
        ("architectures", limits.allowed_architectures, pool.architecture),
        ("GPU models", limits.allowed_gpu_models if pool.gpus else None, pool.gpu_model),
        ("required architecture", (needs.architecture,) if needs.architecture else None, pool.architecture),
    ):
        if allowed is not None and value not in allowed:
            yield f"{value} is outside the allowed {name}"
    if pool.vcpu < needs.min_node_vcpu or pool.memory_gib < needs.min_node_memory_gib:
        yield "its nodes are smaller than required"
    homes = {judge.nodes[i].region for i in action.node_ids} or {node.region for node in judge.cluster.nodes}
    if homes and pool.region not in homes and not limits.cross_region_allowed:
        yield "it crosses regions"
    if target.capacity_type == "spot":
        yield from _too_risky(judge, pool)
    elif pool.on_demand_price is None:
        yield "its on-demand price is unknown"


def _too_risky(judge: _Judge, pool: PoolFacts) -> Iterator[str]:
    limits, probability = judge.cluster.constraints, pool.interruption_probability
    if probability is None:
        yield "nobody has predicted its interruptions"
        return
    hours = limits.interruption_horizon_hours or pool.horizon_hours
    within = 1 - (1 - probability) ** (hours / pool.horizon_hours)
    if within > limits.max_interruption_probability + _TOLERANCE:
        yield f"it is interrupted with probability {within:g}"


def _fitted(judge: _Judge, action: Action) -> Iterator[str]:
    members = [judge.nodes[i] for i in action.node_ids]
    if action.type == "consolidate":
        yield from _packed(judge, action, members)
        return
    pool, _ = judge.target(action)
    if pool is None or action.target is None:
        return
    if members and action.target.count != len(members):
        yield f"{len(members)} nodes become {action.target.count}"
    for node in members:
        capacity, asked = node.capacity, node.requested
        if pool.architecture != node.architecture:
            yield f"{node.node_id} changes its architecture"
        short = asked.cpu * capacity.vcpu > pool.vcpu + _TOLERANCE or asked.gpus > pool.gpus
        if short or asked.memory * capacity.memory_gib > pool.memory_gib + _TOLERANCE:
            yield f"what {node.node_id} has promised its pods does not fit"
        if action.type != "rightsize" and (pool.vcpu < capacity.vcpu or pool.memory_gib < capacity.memory_gib):
            yield f"{node.node_id} shrinks, and it is not called rightsizing"


def _packed(judge: _Judge, action: Action, members: list[Node]) -> Iterator[str]:
    receivers = [judge.nodes[i] for i in action.receiving_node_ids]
    if len({(node.region, node.architecture) for node in (*members, *receivers)}) > 1:
        yield "it consolidates across regions or architectures"
    everyone = [
        judge.nodes[i]
        for other in judge.decision.recommendations
        if other.type == "consolidate" and set(other.receiving_node_ids) & set(action.receiving_node_ids)
        for i in other.node_ids
    ]
    vcpu = sum(n.requested.cpu * n.capacity.vcpu for n in (*everyone, *receivers))
    memory = sum(n.requested.memory * n.capacity.memory_gib for n in (*everyone, *receivers))
    gpus = sum(n.requested.gpus for n in (*everyone, *receivers))
    if vcpu > sum(n.capacity.vcpu for n in receivers) + _TOLERANCE or gpus > sum(n.capacity.gpus for n in receivers):
        yield "the drained load does not fit the receiving nodes"
    elif memory > sum(n.capacity.memory_gib for n in receivers) + _TOLERANCE:
        yield "the drained load does not fit the receiving nodes' memory"


def _placed(judge: _Judge) -> Iterator[str]:
    groups = {group.name: group for group in judge.cluster.requirements.pods}
    placed: Counter[str] = Counter()
    launches = [a for a in judge.decision.recommendations if a.type != "hold" and not a.node_ids and a.target]
    for action in launches:
        pool, _ = judge.target(action)
        if unknown := action.pods_per_node.keys() - groups.keys():
            yield f"{action.action_id}: it places unknown pods {sorted(unknown)}"
            continue
        held = [(groups[name], count) for name, count in action.pods_per_node.items()]
        for group, count in held:
            placed[group.name] += count * (action.target.count if action.target else 0)
        vcpu, memory = sum(g.cpu * n for g, n in held), sum(g.memory_gib * n for g, n in held)
        gpus = sum(g.gpus * n for g, n in held)
        over = pool is not None and (vcpu > pool.vcpu + _TOLERANCE or memory > pool.memory_gib + _TOLERANCE)
        if over or (pool is not None and gpus > pool.gpus):
            yield f"{action.action_id}: its pods do not fit one of its nodes"
    if launches:
        for name, group in groups.items():
            if placed[name] < group.replicas:
                yield f"pods: {placed[name]} of {group.replicas} of {name} have a node"


def _worthwhile(judge: _Judge, action: Action) -> Iterator[str]:
    if not action.node_ids or any(reason.code == "required" for reason in action.reasons):
        return
    limits = judge.cluster.constraints
    cost = sum(judge.price(judge.nodes[i]) for i in action.node_ids)
    least = max(limits.min_savings_usd_per_hour, limits.min_savings_percent / 100 * cost)
    if action.savings.p50 < least - _TOLERANCE:
        yield f"it saves {action.savings.p50:g}, and must save {least:g}"


def _limits(judge: _Judge) -> Iterator[str]:
    needs, limits = judge.cluster.requirements, judge.cluster.constraints
    old, new = judge.totals(after=False), judge.totals(after=True)
    share = limits.min_on_demand_share
    floors: tuple[tuple[str, float, float, float], ...] = (
        ("vcpu", needs.vcpu, old.vcpu, new.vcpu),
        ("memory_gib", needs.memory_gib, old.memory, new.memory),
        ("gpus", needs.gpus, old.gpus, new.gpus),
        ("min_nodes", needs.min_nodes, old.nodes, new.nodes),
        ("min_on_demand_share", 0.0, old.on_demand_vcpu - share * old.vcpu, new.on_demand_vcpu - share * new.vcpu),
        ("min_pools", min(limits.min_pools, new.pools.total()), _pools_before(limits.min_pools, old), len(new.pools)),
    )
    for name, wanted, before, after in floors:
        if after < min(wanted, before) - _TOLERANCE:
            yield f"{name}: {before:g} before, {after:g} after, {wanted:g} wanted"
    tops: tuple[tuple[str, float | None, float, float], ...] = (
        ("max_nodes", needs.max_nodes, old.nodes, new.nodes),
        ("budget_usd_per_hour", limits.budget_usd_per_hour, old.price, new.price),
    )
    for name, most, before, after in tops:
        if most is not None and after > max(most, before) + _TOLERANCE:
            yield f"{name}: {before:g} before, {after:g} after, {most:g} allowed"


def _pools_before(wanted: int, old: _Totals) -> int:
    """Spot pools before, as far as there were too few; a cluster that had enough for its spot nodes must have them."""
    return len(old.pools) if len(old.pools) < min(wanted, old.pools.total()) else wanted


def _timed(given: DecisionInput, judge: _Judge) -> Iterator[str]:
    deadline = judge.cluster.constraints.deadline
    disrupted = any(a.node_ids for a in judge.decision.recommendations if a.type != "hold")
    if deadline is not None and deadline <= given.as_of and disrupted:
        yield "nodes are disrupted after the deadline"


def _planned(judge: _Judge) -> Iterator[str]:
    doing = {a.action_id: a for a in judge.decision.recommendations if a.type != "hold"}
    steps = judge.decision.execution_plan.steps
    if bool(doing) != bool(steps):
        yield "the plan and the actions do not agree"
    for kind in ("evict", "terminate") if doing else ():
        planned = Counter(i for step in steps if step.type == kind for i in step.node_ids)
        if planned != Counter(i for action in doing.values() for i in action.node_ids):
            yield f"the {kind} steps are not about the nodes of the actions"
    launched = sum(t.count for step in steps if step.type == "launch" for t in step.targets)
    if launched != sum(a.target.count for a in doing.values() if a.target):
        yield "the launch steps do not launch the targets of the actions"
    for step in steps:
        at_once = judge.cluster.constraints.max_concurrent_disruptions
        if step.type == "evict" and (step.max_concurrent is None or step.max_concurrent > at_once):
            yield "too many nodes are drained at the same time"
        if step.type == "cordon" and step.uncordon_after_seconds is None:
            yield "nothing uncordons by itself"
