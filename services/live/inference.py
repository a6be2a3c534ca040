"""Answering a prediction request from memory: feature rows of the board, what the request overrides, one scorer."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import numpy as np

from gapfill.features.request import apply_request, now_observed
from gapfill.pools import Pool
from services.errors import DataStale, PoolUnknown, RequestInvalid
from services.live.board import FeatureBlock, FeatureBoard
from services.live.experiments.answering import Part, Rows, answer_soon
from services.live.experiments.arms import Arms
from services.live.experiments.shadow import Shadow, Shown
from services.live.experiments.trial import Trial
from services.live.facts import Places
from services.live.ledger.noting import note_answer
from services.live.ledger.spool import Spool
from services.live.predicted import Ask, answer_of, by_one
from services.models.awaiting import lend_soon
from services.models.held import Lent, Loan
from services.models.predictor import predict_soon
from services.models.slots import Slots
from services.models.version import Task

TASK: Task = "spot_interruption"


class Inference:
    """Answers `Ask`s. Does no I/O except to load a version that is not active."""

    def __init__(
        self,
        board: FeatureBoard,
        slots: Slots,
        max_age_s: float,
        arms: Arms | None = None,
        shadow: Shadow | None = None,
        spool: Spool | None = None,
    ) -> None:
        """With `arms` requests that name no model take part in experiments; `shadow` scores them once more.

        What is answered is noted in `spool`, on its way to the ledger.
        """
        self._board = board
        self._slots = slots
        self._max_age_s = max_age_s
        self.arms = arms
        self._shadow = shadow
        self._spool = spool
        # One batch at a time works in a process, so that single requests keep most of it to themselves.
        self.batches = asyncio.Semaphore(1)

    async def answer(self, ask: Ask, now: datetime | None = None) -> dict[str, Any]:
        """The highest interruption probability over the zones asked for, and each zone's under `pools`.

        On the event loop: a model that is scored in another process is awaited. Raises `NoActiveModel`,
        `ModelNotFound`, `ModelUnavailable`, `PoolUnknown`, `DataStale`, `RequestInvalid`, `FeatureRequestInvalid`.
        """
        at = now or datetime.now(UTC)
        loan = self._slots.lend(TASK) if ask.model_id is None else await lend_soon(self._slots, ask.model_id)
        with loan as lent:
            block, places, rows = self.rows(ask, lent, at)
            trial = self.trial(ask.model_id, lent)
            if trial is None or self.arms is None:
                parts = [by_one(lent, await predict_soon(lent.scorer, lent.version, *rows))]
            else:
                pool_ids = [block.pool_ids[place] for place in places]
                parts = await answer_soon(trial, self.arms.tally, lent, pool_ids, rows)
        return self.told(ask, trial, block, places, rows, parts, at)

    def lend(self, model_id: str | None) -> Loan:
        """The active version or the one that is named; off the event loop, for it may have to be loaded."""
        return self._slots.lend(TASK) if model_id is None else self._slots.lend_version(model_id)

    def trial(self, model_id: str | None, lent: Lent) -> Trial | None:
        """The experiment that a request takes part in: one that names a model stands outside."""
        return self.arms.trial(TASK, lent.version.model_id) if self.arms and model_id is None else None

    def told(
        self,
        ask: Ask,
        trial: Trial | None,
        block: FeatureBlock,
        places: Places,
        rows: Rows,
        parts: list[Part],
        at: datetime,
        *,
        alone: bool = True,
    ) -> dict[str, Any]:
        """The answer; it is noted, and a shadow is shown what it was about. `alone`: not one of a batch."""
        told = answer_of(ask, parts, block, places, at)

        def noted(*some: Part) -> None:
            if self._spool is not None:
                note_answer(self._spool, ask, block, places, some, at)

        noted(*parts)
        if trial is not None and trial.in_shadow and self._shadow is not None:
            pool_ids = tuple(block.pool_ids[place] for place in places)
            self._shadow.show(Shown(trial, pool_ids, rows, noted, timed=alone))
        return told

    def rows(self, ask: Ask, lent: Lent, at: datetime) -> tuple[FeatureBlock, Places, Rows]:
        """The rows of the pools asked for, as `predict` takes them."""
        _check(ask, lent)
        block, places = self._find(ask, at)
        rows = apply_request(
            block.matrix[places], block.names, now=at, spot_price=ask.spot_price, launch_time=ask.launch_time
        )
        imputed = now_observed(block.imputed[places], block.names, spot_price=ask.spot_price)
        return block, places, (block.names, rows, imputed, block.silence_h(places))

    def _find(self, ask: Ask, at: datetime) -> tuple[FeatureBlock, Places]:
        found = self._board.rows(ask.region, ask.instance_type, ask.product_description)
        if found is None:
            raise DataStale(None, self._max_age_s)
        block, places = found
        if ask.availability_zone is not None:
            zone = ask.availability_zone
            places = places[[Pool.parse(block.pool_ids[place]).zone == zone for place in places]]
        if not len(places):
            asked = Pool(ask.region, ask.availability_zone or "*", ask.instance_type, ask.product_description).pool_id
            advice = (
                "Track it: POST gap-filler/fill with its region and instance type; it is known from the next tick on."
            )
            raise PoolUnknown(asked, advice)
        known_at = float(np.nanmin(block.known_at[places])) if not np.isnan(block.known_at[places]).all() else None
        if known_at is None or at.timestamp() - known_at > self._max_age_s:
            raise DataStale(datetime.fromtimestamp(known_at, UTC) if known_at is not None else None, self._max_age_s)
        return block, places


def _check(ask: Ask, lent: Lent) -> None:
    version = lent.version
    if version.task != TASK:
        raise RequestInvalid(
            "model_id",
            f"{version.model_id} is a model of the task {version.task}.",
            f"Name a model of the task {TASK}.",
        )
    if ask.horizon_hours is not None and ask.horizon_hours != version.horizon_hours:
        raise RequestInvalid(
            "horizon_hours",
            f"{version.model_id} predicts {version.horizon_hours} h ahead, not {ask.horizon_hours} h.",
            f"Leave it out, or send {version.horizon_hours}.",
        )
