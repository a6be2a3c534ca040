"""How many waiting pods of each group one node can hold: whole pods on a whole node.

A pattern is a count per group. Any packing of pods onto nodes is a choice of patterns, and a pattern may hold more than
is left to place, so it is enough to know the maximal ones: those to which no pod can be added.
"""

import math
from collections.abc import Iterator, Sequence

from engines.builtin.spot_optimizer.nodes import TOLERANCE
from engines.facts import PodGroup

Pattern = tuple[int, ...]
# Patterns kept per size of node. With more, those that fill the node best are kept, and each group's own.
_MOST = 60
# Patterns looked at per size of node.
_LOOKED_AT = 4_000


def patterns_for(groups: Sequence[PodGroup], vcpu: float, memory_gib: float, gpus: float) -> tuple[Pattern, ...]:
    """Return maximal patterns for a node of this size (vCPU count, GiB, GPU count); empty when it holds no pod.

    All of them where they are few, so that a choice among them is exact.
    """
    room = (vcpu + TOLERANCE, memory_gib + TOLERANCE, float(gpus))
    needs = [(group.cpu, group.memory_gib, float(group.gpus)) for group in groups]
    tops = [_most(need, room, group.replicas) for need, group in zip(needs, groups, strict=True)]
    if not any(tops):
        return ()
    found: dict[Pattern, None] = {}
    for looked, pattern in enumerate(_maximal(needs, room, [group.replicas for group in groups])):
        if looked >= _LOOKED_AT:
            break
        found[pattern] = None
    ordered = sorted(found, key=lambda pattern: (-_fill(pattern, needs, (vcpu, memory_gib)), pattern))
    alone = [tuple(top if i == j else 0 for j in range(len(groups))) for i, top in enumerate(tops) if top]
    return tuple(dict.fromkeys([*ordered[:_MOST], *(alone if len(ordered) > _MOST else ())]))


def nodes_for(groups: Sequence[PodGroup], vcpu: float, memory_gib: float, gpus: float) -> float:
    """Return how many nodes of this size all pods need at least, group by group; infinite when one does not fit."""
    room = (vcpu + TOLERANCE, memory_gib + TOLERANCE, float(gpus))
    share = 0.0
    for group in groups:
        most = _most((group.cpu, group.memory_gib, float(group.gpus)), room, group.replicas)
        if not most:
            return math.inf
        share = max(share, group.replicas / most)
    sums = [math.fsum(n * g.replicas for n, g in zip(values, groups, strict=True)) for values in _columns_of(groups)]
    return math.ceil(max([share, *(total / r for total, r in zip(sums, room, strict=True) if r > 0)]) - TOLERANCE)


def _columns_of(groups: Sequence[PodGroup]) -> tuple[list[float], list[float], list[float]]:
    return [g.cpu for g in groups], [g.memory_gib for g in groups], [float(g.gpus) for g in groups]


def _most(need: tuple[float, ...], room: tuple[float, ...], replicas: int) -> int:
    fitting = [math.floor(r / n) for n, r in zip(need, room, strict=True) if n > 0]
    return min([replicas, *fitting])


def _maximal(needs: Sequence[tuple[float, ...]], room: tuple[float, ...], replicas: Sequence[int]) -> Iterator[Pattern]:
    """Yield the maximal patterns, those with most of the first groups first."""
    if not needs:
        yield ()
        return
    for count in range(_most(needs[0], room, replicas[0]), -1, -1):
        left = tuple(r - count * n for r, n in zip(room, needs[0], strict=True))
        for rest in _maximal(needs[1:], left, replicas[1:]):
            over = tuple(r - sum(c * n[k] for c, n in zip(rest, needs[1:], strict=True)) for k, r in enumerate(left))
            if count == replicas[0] or any(n > r for n, r in zip(needs[0], over, strict=True)):
                yield (count, *rest)


def _fill(pattern: Pattern, needs: Sequence[tuple[float, ...]], size: tuple[float, float]) -> float:
    """Return how full the node is, at the fuller of CPU and memory (0..1)."""
    return max(sum(c * n[k] for c, n in zip(pattern, needs, strict=True)) / size[k] for k in range(2))
