"""Why a pool is not chosen, and the least that would have to change for it to be: each answer decided again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from engines.actions import RejectedAlternative
from engines.builtin.spot_optimizer import relaxations
from engines.builtin.spot_optimizer.binding import WhyNot, outcome_of
from engines.builtin.spot_optimizer.config import OptimizerConfig, Policy
from engines.builtin.spot_optimizer.decision import Choice, choose_for
from engines.builtin.spot_optimizer.relaxations import Asked, Change, Relaxation
from engines.facts import Cluster, Name, PoolFacts, Strict

# How finely a threshold is found: halvings of the way between what holds and what does not.
_HALVINGS = 16
# Constraints that bar a pool outright are given up one after the other; no more than so many.
_MOST_BARS = 8
_MOST_PAIRS = 2


class Way(Strict):
    """One way in which the pool would be chosen: all its changes together; deciding again with them has chosen it."""

    changes: tuple[Change, ...] = Field(min_length=1, description="What would have to change, all of it")


class PoolAnswer(Strict):
    """What stands between a pool and its being chosen for a cluster."""

    pool_id: Name = Field(description="The pool that was asked about")
    known: bool = Field(description="Whether the pool is among those the decision knew")
    chosen: bool = Field(description="Whether the decision buys spot nodes there")
    running: int = Field(ge=0, description="The cluster's spot nodes that run there and stay (count)")
    bound_by: tuple[RejectedAlternative, ...] = Field(
        default=(), description="The constraint that bound it, for each kind of node it could have replaced"
    )
    ways: tuple[Way, ...] = Field(
        default=(),
        description="Ways in which it would be chosen, those with fewest changes first; empty: none was found",
    )


@dataclass(frozen=True, slots=True)
class _Trial:
    """Decides again and again for what is asked, with something changed."""

    pool_id: str
    as_of: datetime
    policy: Policy

    def choice(self, asked: Asked) -> Choice:
        """Return what is chosen for it."""
        return choose_for(asked.cluster, asked.pools, self.as_of, asked.config, self.policy)

    def chooses(self, asked: Asked) -> bool:
        """Whether spot nodes are bought in the pool."""
        return _bought(self.choice(asked), asked.pool) > 0


def why_not(
    cluster: Cluster,
    pools: Sequence[PoolFacts],
    as_of: datetime,
    config: OptimizerConfig,
    policy: Policy,
    pool_id: str,
) -> PoolAnswer:
    """Return why the optimiser does not buy spot nodes in `pool_id` for `cluster`, and what would change that.

    Thresholds are found by halving, so they are right to about 2e-5 of the way that was halved.
    """
    pool = next((p for p in pools if p.pool_id == pool_id), None)
    if pool is None:
        return PoolAnswer(pool_id=pool_id, known=False, chosen=False, running=0)
    asked = Asked(cluster, tuple(pools), config, pool)
    trial = _Trial(pool_id, as_of, policy)
    choice = trial.choice(asked)
    running = _running(choice, pool)
    if _bought(choice, pool):
        return PoolAnswer(pool_id=pool_id, known=True, chosen=True, running=running)
    ways = sorted(_ways(asked, trial), key=lambda way: len(way.changes))
    return PoolAnswer(
        pool_id=pool_id,
        known=True,
        chosen=False,
        running=running,
        bound_by=_bound_by(asked, choice),
        ways=tuple(ways),
    )


def _bought(choice: Choice, pool: PoolFacts) -> int:
    place = (pool.region, pool.availability_zone, pool.instance_type)
    pairs = zip(choice.mix.columns, choice.mix.counts, strict=True)
    return sum(n for c, n in pairs if c.spot and not c.stays and c.place == place)


def _running(choice: Choice, pool: PoolFacts) -> int:
    place = (pool.region, pool.availability_zone, pool.instance_type)
    pairs = zip(choice.mix.columns, choice.mix.counts, strict=True)
    return sum(n for c, n in pairs if c.spot and c.stays and c.place == place)


def _bound_by(asked: Asked, choice: Choice) -> tuple[RejectedAlternative, ...]:
    why = WhyNot(asked.cluster, choice.offers, asked.config, outcome_of(choice.mix), choice.moves_left)
    place = (asked.pool.region, asked.pool.availability_zone, asked.pool.instance_type)
    j = choice.offers.at.get((place, "spot"))
    if j is None:
        return ()
    found: dict[str, RejectedAlternative] = {}
    for column, count in zip(choice.mix.columns, choice.mix.counts, strict=True):
        if count:
            node_class = choice.classes[column.of_class] if column.of_class >= 0 else None
            rejected = why.for_offer(j, column, node_class)
            found.setdefault(rejected.constraint, rejected)
    return tuple(found.values())


def _ways(asked: Asked, trial: _Trial) -> list[Way]:
    """Return each single relaxation that suffices, after those without which the pool is barred anyway."""
    freed, needed = _unbarred(asked, trial)
    if needed and trial.chooses(freed):
        return [Way(changes=tuple(needed))]
    open_now = list(relaxations.open_to(freed))
    alone = [(relaxation, _least(freed, relaxation, trial.chooses)) for relaxation in open_now]
    found = [Way(changes=(*needed, change)) for _, change in alone if change is not None]
    return found or [Way(changes=(*needed, *pair)) for pair in _pairs(freed, open_now, trial)]


def _pairs(asked: Asked, open_now: list[Relaxation], trial: _Trial) -> Iterator[tuple[Change, Change]]:
    """Yield what suffices together with another price, where nothing does alone."""
    price, *others = open_now
    found = 0
    for other in others:
        if found >= _MOST_PAIRS:
            return
        wide = other.apply(asked, other.most)
        if (lower := _least(wide, price, trial.chooses)) is None:
            continue
        cheap = price.apply(asked, lower.needed)
        if (less := _least(cheap, other, trial.chooses)) is not None:
            found += 1
            yield lower, less


def _unbarred(asked: Asked, trial: _Trial) -> tuple[Asked, list[Change]]:
    """Give up, as little as possible, each constraint that bars the pool for the whole cluster."""
    changes: list[Change] = []
    for _ in range(_MOST_BARS):
        constraint = relaxations.barred_by(asked, trial.policy)
        relaxation = relaxations.of_bar(asked, constraint) if constraint else None
        if relaxation is None:
            break
        asked = relaxation.apply(asked, relaxation.most)
        changes.append(relaxation.change(relaxation.most))
    return asked, changes


def _least(asked: Asked, relaxation: Relaxation, chooses: Callable[[Asked], bool]) -> Change | None:
    """Return the smallest change of this kind that suffices; None when even the largest does not."""
    if not chooses(relaxation.apply(asked, relaxation.most)):
        return None
    if not relaxation.gradual:
        return relaxation.change(relaxation.most)
    fails, holds = relaxation.now, relaxation.most
    for _ in range(_HALVINGS):
        middle = relaxation.between(fails, holds)
        if middle in (fails, holds):
            break
        if chooses(relaxation.apply(asked, middle)):
            holds = middle
        else:
            fails = middle
    return relaxation.change(holds)
