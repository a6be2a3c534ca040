"""The choice of a mix as one integer programme, solved by HiGHS: what stays, what moves where, what is launched.

Minimise the expected cost (price plus expected interruption cost, USD per hour) of all nodes, subject to requirements
and constraints. A limit that already fails when nothing is done gets a priced slack no larger than that failure, so
that doing nothing is always feasible and no solution makes anything worse; slack that remains is a conflict.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from engines.builtin.spot_optimizer.columns import FORCED_STAY_USD, Column, columns_of
from engines.builtin.spot_optimizer.config import OptimizerConfig, Policy
from engines.builtin.spot_optimizer.nodes import NodeClass
from engines.builtin.spot_optimizer.offers import Floats, Offers
from engines.facts import Cluster

# Rounding up to whole nodes, without letting an exact whole number become the next one.
_ROUND_UP = 0.999
# Work is bounded by nodes of the search tree, never by time: the same input gives the same answer.
_SEARCH_NODES = 2_000
_GAP = 1e-6
_SOLVED = 1e-5
# What one unit of failure is worth, far above what any node costs: requirements before shares before the budget.
_PENALTY_USD = {
    "vcpu": 1_000.0,
    "memory_gib": 1_000.0,
    "gpus": 10_000.0,
    "min_nodes": 1_000.0,
    "max_nodes": 1_000.0,
    "min_on_demand_share": 500.0,
    "min_pools": 500.0,
    "budget_usd_per_hour": 100.0,
    "pods": 1_000.0,
}


@dataclass(frozen=True, slots=True)
class Row:
    """low <= coefficients · values <= high, named after the field it stands for, and the part of it that is meant."""

    name: str
    coefficients: dict[int, float]
    low: float
    high: float
    part: str = ""


@dataclass(frozen=True, slots=True)
class Mix:
    """How many nodes each column gets.

    `failures` are limits that do not hold, with the missing amount; `helped` are those that do hold, or hold better,
    and did not before. `shares` are the bounds on one pool and on what is lost together, as they were applied (0..1).
    """

    columns: tuple[Column, ...]
    counts: tuple[int, ...]
    failures: dict[str, float]
    helped: tuple[str, ...]
    objective: float
    shares: dict[str, float]


@dataclass(slots=True)
class _Programme:
    cost: list[float]
    upper: list[float]
    integral: list[int]
    rows: list[Row] = field(default_factory=list)
    slacks: dict[str, int] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)

    def variable(self, cost: float = 0.0, upper: float = math.inf, integral: bool = False) -> int:
        """Add a variable from 0 to `upper`; return its index."""
        self.cost.append(cost)
        self.upper.append(upper)
        self.integral.append(int(integral))
        return len(self.cost) - 1


def choose(
    cluster: Cluster,
    classes: list[NodeClass],
    offers: Offers,
    config: OptimizerConfig,
    policy: Policy,
    moves_left: int,
    *,
    launch: bool = True,
    banned: frozenset[tuple[int, int]] = frozenset(),
) -> Mix:
    """Return the cheapest mix.

    `moves_left` is how many nodes may be disrupted; `banned` are (class, offer) pairs that may not be used.
    """
    columns = tuple(
        column
        for column in columns_of(cluster, classes, offers, config, policy, launch=launch)
        if (column.of_class, column.offer) not in banned
    )
    programme = _Programme([c.objective for c in columns], [c.upper for c in columns], [1] * len(columns))
    _assign(programme, columns, len(classes))
    for row in _limits(cluster, columns, moves_left):
        _add_limit(programme, columns, row)
    _spread(programme, columns, cluster, config)
    values, objective = _solve(programme, columns)
    failures: dict[str, float] = defaultdict(float)
    for name, i in programme.slacks.items():
        if values[i] > _SOLVED:
            failures[name.split("/")[0]] += float(values[i])
    counts = tuple(round(float(v)) for v in values[: len(columns)])
    for column, count in zip(columns, counts, strict=True):
        if column.stays and count and column.objective >= FORCED_STAY_USD:
            failures[classes[column.of_class].one.force or "forced"] = float(count)
    helped = tuple(n.split("/")[0] for n, i in programme.slacks.items() if values[i] < programme.upper[i] - _SOLVED)
    return Mix(columns, counts, dict(failures), helped, objective, programme.shares)


def _assign(programme: _Programme, columns: tuple[Column, ...], classes: int) -> None:
    members: list[dict[int, float]] = [{} for _ in range(classes)]
    sizes = [0.0] * classes
    for i, column in enumerate(columns):
        if column.of_class >= 0:
            members[column.of_class][i] = 1.0
            sizes[column.of_class] = max(sizes[column.of_class], column.upper)
    programme.rows += [Row("", m, n, n) for m, n in zip(members, sizes, strict=True)]


def _limits(cluster: Cluster, columns: tuple[Column, ...], moves_left: int) -> list[Row]:
    needs, limits = cluster.requirements, cluster.constraints
    share = limits.min_on_demand_share

    def over(name: str, values: list[float], low: float = -math.inf, high: float = math.inf) -> Row:
        return Row(name, {i: v for i, v in enumerate(values) if v}, low, high)

    rows = [
        over("vcpu", [c.vcpu for c in columns], low=needs.vcpu),
        over("memory_gib", [c.memory for c in columns], low=needs.memory_gib),
        over("gpus", [float(c.gpus) for c in columns], low=needs.gpus),
        over("min_nodes", [1.0] * len(columns), low=needs.min_nodes),
        over("min_on_demand_share", [((not c.spot) - share) * c.vcpu for c in columns], low=0.0),
    ]
    rows += [
        replace(
            over("pods", [float(c.pods[g]) if c.pods else 0.0 for c in columns], low=group.replicas), part=group.name
        )
        for g, group in enumerate(needs.pods)
    ]
    if limits.deadline is not None:
        rows.append(over("deadline", [float(c.moves) for c in columns], high=moves_left))
    if needs.max_nodes is not None:
        rows.append(over("max_nodes", [1.0] * len(columns), high=needs.max_nodes))
    if limits.budget_usd_per_hour is not None:
        rows.append(over("budget_usd_per_hour", [c.price for c in columns], high=limits.budget_usd_per_hour))
    return [row for row in rows if row.low not in (-math.inf, 0) or row.high < math.inf or (share and row.low == 0)]


def at_start(columns: tuple[Column, ...], row: Row) -> float:
    """Return the value of a row when nothing is done."""
    return sum(v * columns[i].upper for i, v in row.coefficients.items() if i < len(columns) and columns[i].stays)


def _add_limit(programme: _Programme, columns: tuple[Column, ...], row: Row) -> None:
    now = at_start(columns, row)
    missing = max(row.low - now, now - row.high)
    if missing <= _SOLVED:
        programme.rows.append(row)
        return
    slack = programme.variable(_PENALTY_USD[row.name], missing)
    programme.slacks[f"{row.name}/{row.part}" if row.part else row.name] = slack
    sign = 1.0 if row.low > now else -1.0
    programme.rows.append(Row(row.name, {**row.coefficients, slack: sign}, row.low, row.high))


def _spread(programme: _Programme, columns: tuple[Column, ...], cluster: Cluster, config: OptimizerConfig) -> None:
    """Bound what is lost with one pool, and with one zone's pools of one family; keep to the number of pools."""
    spot = [i for i, column in enumerate(columns) if column.spot]
    if not spot:
        return
    total = programme.variable()
    programme.rows.append(Row("", {**dict.fromkeys(spot, 1.0), total: -1.0}, 0.0, 0.0))
    pools = _grouped(spot, lambda i: columns[i].place)
    _bound_share(programme, columns, pools, total, "max_pool_share", config.max_pool_share)
    jointly = _grouped(spot, lambda i: joint_of(columns[i].place))
    _bound_share(programme, columns, jointly, total, "max_joint_share", config.max_joint_share)
    if cluster.constraints.min_pools > 1:
        _at_least_pools(programme, columns, pools, total, cluster.constraints.min_pools)


def joint_of(place: tuple[str, str, str]) -> tuple[str, str]:
    """Return what a pool is lost together with: AWS runs the types of a family on the same hardware of a zone."""
    return (place[1], place[2].split(".")[0])


def _grouped(members: list[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i in members:
        groups[key(i)].append(i)
    return list(groups.values())


def _bound_share(
    programme: _Programme, columns: tuple[Column, ...], groups: list[list[int]], total: int, name: str, share: float
) -> None:
    """Keep each group under `share` of the spot nodes, rounded up; one that is over it may not grow.

    With too few groups for that the nodes are spread evenly: what cannot be spread is not bought on demand instead.
    A group where every node would cost more than on demand does not count.
    """
    instead: dict[int, float] = {-1: math.inf}
    for column in columns:
        if not column.spot and column.of_class >= 0:
            instead[column.of_class] = min(column.objective, instead.get(column.of_class, math.inf))
    worth = sum(any(columns[i].objective <= instead.get(columns[i].of_class, math.inf) for i in g) for g in groups)
    share = programme.shares[name] = max(share, 1 / max(1, worth))
    if share >= 1:
        return
    running = sum(columns[i].upper for members in groups for i in members if columns[i].stays)
    for members in groups:
        if any(not columns[i].stays for i in members):
            now = sum(columns[i].upper for i in members if columns[i].stays)
            high = max(_ROUND_UP, now - share * running)
            programme.rows.append(Row(name, {**dict.fromkeys(members, 1.0), total: -share}, -math.inf, high))


def _at_least_pools(
    programme: _Programme, columns: tuple[Column, ...], pools: list[list[int]], total: int, wanted: int
) -> None:
    """Either `wanted` pools are used, or as many as there are spot nodes."""
    used: dict[int, float] = {}
    for members in pools:
        flag = programme.variable(upper=1.0, integral=True)
        used[flag] = 1.0
        programme.rows.append(Row("", {**dict.fromkeys(members, 1.0), flag: -1.0}, 0.0, math.inf))
    running = sum(columns[i].upper for members in pools for i in members if columns[i].stays)
    occupied = sum(1 for members in pools if any(columns[i].stays and columns[i].upper for i in members))
    missing = min(wanted, running) - occupied
    few = programme.variable(upper=1.0, integral=True)
    slack: dict[int, float] = {}
    if missing > 0:
        programme.slacks["min_pools"] = programme.variable(_PENALTY_USD["min_pools"], missing)
        slack = {programme.slacks["min_pools"]: 1.0}
    # With `few` set there are fewer than `wanted` spot nodes, so the big number need only cover those that run or come.
    big = float(sum(columns[i].upper for members in pools for i in members if columns[i].upper < math.inf) + 1_000)
    programme.rows.append(Row("min_pools", {**used, **slack, few: float(wanted)}, wanted, math.inf))
    programme.rows.append(Row("min_pools", {**used, **slack, total: -1.0, few: -big}, -big, math.inf))


def _solve(programme: _Programme, columns: tuple[Column, ...]) -> tuple[Floats, float]:
    if not columns:
        values = np.array(programme.upper)
        return values, 0.0
    at = [(r, i, v) for r, row in enumerate(programme.rows) for i, v in row.coefficients.items()]
    rows, cols, data = (np.array(part) for part in zip(*at, strict=True))
    matrix = coo_array((data, (rows, cols)), shape=(len(programme.rows), len(programme.cost))).tocsr()
    low = np.array([row.low for row in programme.rows])
    high = np.array([row.high for row in programme.rows])
    result = milp(
        np.array(programme.cost),
        constraints=LinearConstraint(matrix, low, high),
        bounds=Bounds(0, np.array(programme.upper)),
        integrality=np.array(programme.integral),
        options={"node_limit": _SEARCH_NODES, "mip_rel_gap": _GAP},
    )
    if result.x is None:
        return _nothing_done(programme, columns), math.inf
    return np.asarray(result.x, dtype=np.float64), float(result.fun)


def _nothing_done(programme: _Programme, columns: tuple[Column, ...]) -> Floats:
    """Return the point that is always feasible: everything stays, every slack is used."""
    values = np.zeros(len(programme.cost))
    for i, column in enumerate(columns):
        values[i] = column.upper if column.stays else 0.0
    for index in programme.slacks.values():
        values[index] = programme.upper[index]
    return values
