"""Which constraints cannot all hold: each failing limit with those whose relaxation alone would help it."""

from collections.abc import Callable, Mapping

from engines.actions import Conflict
from engines.facts import Cluster, Constraints, Requirements

_CONSTRAINTS = tuple(name for name in Constraints.model_fields if name not in ("min_savings_percent",))
_REQUIREMENTS = ("architecture", "max_nodes", "min_node_vcpu", "min_node_memory_gib")
# Each relaxation is one more decision: above this many nodes that would take seconds.
_MOST_NODES = 300


def conflicts_of(
    cluster: Cluster, failures: Mapping[str, float], failures_of: Callable[[Cluster], Mapping[str, float]]
) -> tuple[Conflict, ...]:
    """Return one conflict per failing limit; `failures_of` decides for a cluster with one constraint relaxed."""
    if not failures:
        return ()
    if len(cluster.nodes) > _MOST_NODES:
        unsought = f"its partners are sought in clusters of up to {_MOST_NODES} nodes"
        return tuple(
            Conflict(constraints=(name,), detail=f"{name} is missed by {missing:g}; {unsought}.")
            for name, missing in failures.items()
        )
    partners: dict[str, list[str]] = {name: [] for name in failures}
    for name, relaxed in _relaxations(cluster):
        left = failures_of(relaxed)
        for failing, missing in failures.items():
            if name != failing and left.get(failing, 0.0) < missing / 2:
                partners[failing].append(name)
    return tuple(_conflict(name, failures[name], partners[name]) for name in failures)


def _relaxations(cluster: Cluster) -> list[tuple[str, Cluster]]:
    found = []
    for part, names, free in (
        ("constraints", _CONSTRAINTS, Constraints(cross_region_allowed=True, max_concurrent_disruptions=1_000_000)),
        ("requirements", _REQUIREMENTS, Requirements()),
    ):
        mine = getattr(cluster, part)
        for name in names:
            value = getattr(free, name)
            if getattr(mine, name) != value:
                found.append((name, cluster.model_copy(update={part: mine.model_copy(update={name: value})})))
    return found


def _conflict(failing: str, missing: float, partners: list[str]) -> Conflict:
    if partners:
        detail = f"{failing} is missed by {missing:g}; relaxing any one of {', '.join(partners)} would help."
    else:
        detail = f"{failing} is missed by {missing:g}, and no single relaxation helps: what is offered does not do."
    return Conflict(constraints=(failing, *partners), detail=detail)
