"""Whether a model still tells more than the naive forecast does: its skill of late against its skill at first."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from gapfill.history import History
from gapfill.scope import Scope
from services.live.clusters import Clusters
from services.live.drift.reference import WEEK
from services.live.drift.window import sampled
from services.live.ledger.accuracy import figures
from services.live.ledger.scored import scored_rows
from services.models.version import ModelVersion, Task
from services.store.protocol import Lease, Store

FALL = 0.2
LEAST_KNOWN = 100
MOST_POOLS = 200
LEAST_STRETCH = timedelta(hours=24)
KIND = "drift_skill"
MEASURE: dict[Task, str] = {"spot_price": "skill", "spot_interruption": "brier_skill"}


@dataclass(frozen=True, slots=True)
class SkillFall:
    """A skill that fell: what of, from where to where (1: perfect, 0: no better than the naive), over how many."""

    measure: str
    before: float
    now: float
    predictions: int


class Skills(Protocol):
    """Where a fall of skill is learnt of."""

    def fall(
        self, version: ModelVersion, pool_ids: tuple[str, ...], now: datetime, window: timedelta
    ) -> SkillFall | None:
        """The fall in what has become due of late, None where there is none or too little is known."""
        ...


class LedgerSkill:
    """`Skills` from the ledger, over at most 200 pools: the same figures as `GET accuracy` has, held within -1..1.

    The first skill is that of the first week of the gap, or where that has no outcomes, as interruptions have none, of
    the first day of answers that has; it is kept in the store.
    """

    def __init__(self, history: History, store: Store, lease: Lease | None = None) -> None:
        self._history = history
        self._store = store
        self._lease = lease

    def fall(
        self, version: ModelVersion, pool_ids: tuple[str, ...], now: datetime, window: timedelta
    ) -> SkillFall | None:
        """See `Skills`."""
        scope = Scope.of_pools([pool_ids[place] for place in sampled(pool_ids, MOST_POOLS)])
        late = self._skill(version, scope, now - max(window, LEAST_STRETCH), now, now, ("live", "served"))
        if late is None:
            return None
        before = self._before(version, scope, now, late[0])
        if before - late[0] < FALL:
            return None
        return SkillFall(MEASURE[version.task], before, *late)

    def _before(self, version: ModelVersion, scope: Scope, now: datetime, late: float) -> float:
        kept = self._store.get(KIND, version.model_id)
        if kept is not None:
            return float(kept.value["before"])
        start = version.knows_until
        found = self._skill(version, scope, start, min(start + WEEK, now), now, ("gap",))
        before = found[0] if found else late
        self._store.put(KIND, version.model_id, {"before": before}, fence=self._lease)
        return before

    def _skill(
        self,
        version: ModelVersion,
        scope: Scope,
        start: datetime,
        end: datetime,
        now: datetime,
        origins: tuple[str, ...],
    ) -> tuple[float, int] | None:
        """(skill, known outcomes) of what became due in [start, end); None where too few are known."""
        confirmed = Clusters(self._store).confirmed()
        rows = scored_rows(
            self._history,
            start,
            end,
            now,
            scope=scope,
            model_id=version.model_id,
            experiment="",
            origins=origins,
            confirmed=confirmed,
        )
        told = figures(rows)
        skill = told.get(MEASURE[version.task])
        if skill is None or told["known"] < LEAST_KNOWN:
            return None
        return max(-1.0, float(skill)), int(told["known"])
