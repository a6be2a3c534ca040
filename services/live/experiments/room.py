"""The room of experiments: they are begun, weighed anew, promoted and ended here; one change at a time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from ulid import ULID

from services.audit import Audit
from services.errors import NoActiveModel, RevisionConflict
from services.live.experiments.arms import Arms
from services.live.experiments.errors import ExperimentEnded, ExperimentInvalid
from services.live.experiments.experiment import Arm, Change, Experiment, Status
from services.live.experiments.guard import Guard
from services.live.experiments.order import ExperimentOrder, arms_of, weights_of
from services.live.experiments.shadow import Shadow
from services.live.experiments.split import Split
from services.live.experiments.standing import Outcomes, counts_of, standing_of
from services.live.experiments.telling import tell
from services.models.activation import Activations, Pointer
from services.models.shelf import Shelf
from services.models.slots import Slots
from services.models.swapping import Swaps
from services.models.version import Task
from services.store.protocol import Store

THE_GUARD = "the guard"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Tools:
    """What the room works with."""

    store: Store
    shelf: Shelf
    activations: Activations
    slots: Slots
    swaps: Swaps
    audit: Audit
    outcomes: Outcomes
    market_id: str


class ExperimentRoom:
    """Every change is a compare-and-set: of two at once one raises `RevisionConflict`. All raise the store's errors."""

    def __init__(self, tools: Tools, arms: Arms, shadow: Shadow) -> None:
        self._tools = tools
        self.arms = arms
        self.shadow = shadow
        self._guard = Guard(tools.store, tools.outcomes, f"guard/{ULID()}")
        self.book = arms.book

    async def begin(self, order: ExperimentOrder, by: str) -> Experiment:
        """Start an experiment; every process takes part within a second.

        Raises `ExperimentInvalid`, `ExperimentRunning`, `NoActiveModel`, `ModelNotFound`, and what keeps a challenger
        from being loaded (`ModelRefused`, `ModelUnavailable`); then there is none.
        """
        tools = self._tools
        async with tools.swaps.standing_still():
            arms, horizon, task = await asyncio.to_thread(self._arms, order)
            for arm in arms[1:]:
                await asyncio.to_thread(tools.slots.keep, arm.model_id)
            now, experiment_id = datetime.now(UTC), str(ULID())
            weights = {arm.arm: arm.weight for arm in arms}
            experiment = Experiment(
                experiment_id=experiment_id,
                task=task,
                kind=order.kind,
                description=order.description,
                horizon_hours=horizon,
                arms=arms,
                runs=Split.of(experiment_id, list(weights.values())).runs(),
                guard=order.guard,
                started_at=now,
                started_by=by,
                history=(Change(at=now, by=by, what="started", reason=order.description, weights=weights),),
            )
            await asyncio.to_thread(self.book.begin, experiment)
        await self._changed(experiment)
        return experiment

    async def weigh(self, experiment_id: str, wanted: dict[str, float], by: str) -> Experiment:
        """Other weights; pools move only from arms that shrink to arms that grow. Raises as `ExperimentBook.change`."""

        def weighed(one: Experiment) -> Experiment:
            if one.kind == "shadow":
                raise ExperimentInvalid("weights", "are not for a shadow", "A shadow serves nobody; start an A/B.")
            weights = weights_of(one.arms, wanted)
            arms = tuple(Arm(arm=arm.arm, model_id=arm.model_id, weight=weights[arm.arm]) for arm in one.arms)
            runs = one.split.changed(list(weights.values())).runs()
            change = Change(at=datetime.now(UTC), by=by, what="weights_changed", weights=weights)
            return one.model_copy(update={"arms": arms, "runs": runs}).noted(change)

        experiment = await asyncio.to_thread(self.book.change, experiment_id, weighed)
        await self._changed(experiment)
        return experiment

    async def promote(self, experiment_id: str, name: str | None, by: str) -> tuple[Experiment, Pointer]:
        """Activate a challenger by the usual swap, and end the experiment.

        Raises `ExperimentInvalid` for an arm that cannot be promoted, as `ExperimentBook.change` does, and what
        `Swaps.activate` raises: then the experiment goes on.
        """

        def intended(one: Experiment) -> Experiment:
            arm = _challenger(one, name)
            change = Change(at=datetime.now(UTC), by=by, what="promoting", reason=arm.model_id)
            return one.model_copy(update={"winner": arm.arm}).noted(change)

        going = await asyncio.to_thread(self.book.change, experiment_id, intended)
        arm = _challenger(going, going.winner)
        try:
            pointer = await self._tools.swaps.activate(arm.model_id, by)
        except BaseException:
            await asyncio.to_thread(self._not_promoted, experiment_id)
            raise
        reason = f"{arm.model_id} was promoted"
        ended = await asyncio.to_thread(self.end, experiment_id, "promoted", by, reason, arm.arm)
        await self._changed(ended)
        return ended, pointer

    async def abort(self, experiment_id: str, by: str, reason: str) -> Experiment:
        """End it; the active version answers for every pool again. Raises as `ExperimentBook.change`."""
        now = datetime.now(UTC)
        ended = await asyncio.to_thread(self.book.end, experiment_id, "aborted", by, now, reason)
        await self._changed(ended)
        return ended

    def end(self, experiment_id: str, status: Status, by: str, reason: str, winner: str | None = None) -> Experiment:
        """End it as the server does: when somebody else has ended it meanwhile, that stands."""
        try:
            return self.book.end(experiment_id, status, by, datetime.now(UTC), reason, winner)
        except (ExperimentEnded, RevisionConflict):
            return self.book.get(experiment_id)

    def end_and_tell(
        self, experiment: Experiment, status: Status, by: str, reason: str, winner: str | None = None
    ) -> None:
        """`end` without anybody having asked: audited, and told as an event, by the one process that did it."""
        try:
            now = datetime.now(UTC)
            ended = self.book.end(experiment.experiment_id, status, by, now, reason, winner)
        except (ExperimentEnded, RevisionConflict):
            return
        _log.warning("experiment_ended", experiment_id=ended.experiment_id, status=status, reason=reason)
        self._tools.audit.record(None, f"experiment.{status}", ended.experiment_id, by=by, reason=reason)
        tell(self._tools.store, self._tools.market_id, ended)

    def follow(self) -> None:
        """Each second, in each process that answers requests: take up what changed, end what has lost its control."""
        for experiment in self.book.running().values():
            active = self._tools.activations.active(experiment.task)
            if active is None or active.model_id == experiment.control.model_id:
                continue
            reason = f"{active.model_id} was activated"
            promoted = next((arm for arm in experiment.arms[1:] if arm.model_id == active.model_id), None)
            status: Status = "promoted" if promoted else "aborted"
            self.end_and_tell(experiment, status, active.by, reason, promoted.arm if promoted else None)
        self.arms.follow()
        guarded = [one for one in self.arms.running().values() if one.guard is not None]
        if not guarded:
            self._guard.off_duty()
        elif self._guard.on_duty():
            for experiment in guarded:
                if reason := self._guard.verdict(experiment):
                    self.end_and_tell(experiment, "rolled_back", THE_GUARD, reason)

    def close(self) -> None:
        """Let all go; what was counted is written."""
        self.shadow.close()
        self.arms.close()
        self._guard.off_duty()

    def standing(self, experiment: Experiment, pool_ids: Sequence[str]) -> dict[str, Any]:
        """How its arms stand; `pool_ids` are the tracked ones."""
        rows = self._tools.outcomes.rows(experiment, datetime.now(UTC))
        return standing_of(experiment, counts_of(self._tools.store, experiment), rows, pool_ids)

    async def _changed(self, experiment: Experiment) -> None:
        await asyncio.to_thread(tell, self._tools.store, self._tools.market_id, experiment)
        await asyncio.to_thread(self.arms.follow)

    def _arms(self, order: ExperimentOrder) -> tuple[tuple[Arm, ...], int, Task]:
        tools = self._tools
        versions = [tools.shelf.get(arm.model_id) for arm in order.arms]
        pointer = tools.activations.active(versions[0].task)
        if pointer is None:
            raise NoActiveModel(versions[0].task)
        active = tools.shelf.get(pointer.model_id)
        return arms_of(order, versions, active), active.horizon_hours, active.task

    def _not_promoted(self, experiment_id: str) -> None:
        try:
            self.book.change(experiment_id, lambda one: one.model_copy(update={"winner": None}))
        except (ExperimentEnded, RevisionConflict):
            _log.warning("experiment_changed_while_promoting", experiment_id=experiment_id)


def _challenger(experiment: Experiment, name: str | None) -> Arm:
    """The arm to promote; without a name the only challenger."""
    challengers = experiment.arms[1:]
    if name is None and len(challengers) > 1:
        names = ", ".join(arm.arm for arm in challengers)
        raise ExperimentInvalid("arm", "is not said, and there are several challengers", f"Send one of {names}.")
    arm = challengers[0] if name is None else experiment.arm(name)
    if arm is None:
        raise ExperimentInvalid("arm", f"{name!r} is no arm", "GET experiments/{id} has them.")
    if arm is experiment.control:
        raise ExperimentInvalid("arm", f"{name!r} is the control: it is active", "Abort the experiment instead.")
    return arm
