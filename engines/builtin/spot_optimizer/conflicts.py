"""Which constraints cannot all hold: for each failing limit, a set that conflicts, of which none can be left out.

The set is found by deletion (Chinneck and Dravnieks 1991, "Locating minimal infeasible constraint sets in linear
programs"): one constraint after the other is taken away for good if the failure stays without it.
"""

from collections.abc import Callable, Mapping

from engines.actions import Conflict
from engines.facts import Cluster, Constraints, Requirements

_FREE: dict[str, Constraints | Requirements] = {
    "constraints": Constraints(cross_region_allowed=True, max_concurrent_disruptions=1_000_000),
    "requirements": Requirements(),
}
# These only ask that a voluntary action be worth it; a failing limit overrides them.
_NEVER_IN_THE_WAY = ("min_savings_percent", "min_savings_usd_per_hour")
# Each look is one more decision: above this many nodes a conflict would take seconds.
_MOST_NODES = 300
_MOST_LOOKS = 40


def conflicts_of(
    cluster: Cluster, failures: Mapping[str, float], failures_of: Callable[[Cluster], Mapping[str, float]]
) -> tuple[Conflict, ...]:
    """Return one conflict per failing limit, each minimal; `failures_of` decides for a cluster that asks for less."""
    if not failures:
        return ()
    if len(cluster.nodes) > _MOST_NODES:
        unsought = f"its partners are sought in clusters of up to {_MOST_NODES} nodes"
        return tuple(
            Conflict(constraints=(name,), detail=f"{name} is missed by {missing:g}; {unsought}.")
            for name, missing in failures.items()
        )
    looks = _Looks(failures_of)
    found: dict[frozenset[str], Conflict] = {}
    for name, missing in failures.items():
        partners = _minimal(cluster, name, failures, looks)
        found.setdefault(frozenset((name, *partners)), _conflict(name, missing, partners))
    return tuple(found.values())


class _Looks:
    """Decisions with less asked for, so many and no more."""

    def __init__(self, failures_of: Callable[[Cluster], Mapping[str, float]]) -> None:
        self._failures_of = failures_of
        self._left = _MOST_LOOKS

    def fails(self, cluster: Cluster) -> bool:
        """Whether a limit fails; False, so that what is taken away is put back, once there are no looks left."""
        if self._left <= 0:
            return False
        self._left -= 1
        return bool(self._failures_of(cluster))


def _minimal(cluster: Cluster, failing: str, failures: Mapping[str, float], looks: _Looks) -> tuple[str, ...]:
    """Return what conflicts with `failing`: with all of it there is a failure, without any one there is none."""
    kept = []
    others = [name for name in in_force(cluster) if name != failing and name not in _NEVER_IN_THE_WAY]
    for name in sorted(others, key=lambda name: name not in failures):
        without = freed(cluster, name)
        if looks.fails(without):
            cluster = without
        else:
            kept.append(name)
    return tuple(kept)


def in_force(cluster: Cluster) -> list[str]:
    """Return the names of the requirements and constraints that ask for anything."""
    return [
        name
        for part, free in _FREE.items()
        for name in type(free).model_fields
        if getattr(getattr(cluster, part), name) != getattr(free, name)
    ]


def freed(cluster: Cluster, name: str) -> Cluster:
    """Return the cluster without this requirement or constraint."""
    part = "constraints" if name in Constraints.model_fields else "requirements"
    changed = getattr(cluster, part).model_copy(update={name: getattr(_FREE[part], name)})
    return cluster.model_copy(update={part: changed})


def _conflict(failing: str, missing: float, partners: tuple[str, ...]) -> Conflict:
    if partners:
        detail = f"{failing} is missed by {missing:g}; without any one of {', '.join(partners)} it need not be."
    else:
        detail = f"{failing} is missed by {missing:g}, whatever else is given up: what is offered does not do."
    return Conflict(constraints=(failing, *partners), detail=detail)
