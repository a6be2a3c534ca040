"""An arm's answer: its own model's, or the control's in its place; counted and timed either way."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.live.experiments.counts import Tally
from services.live.experiments.experiment import Arm
from services.live.experiments.trial import Trial
from services.models.held import Lent, Loan
from services.models.predictor import Scored, predict, predict_soon
from services.models.scorer import Matrix, Vector

# names, rows float64[n, names], imputed bool[n, names], silence in hours float64[n]: what `predict` takes.
Rows = tuple[tuple[str, ...], Matrix, NDArray[np.bool_], Vector]


@dataclass(frozen=True, slots=True)
class Part:
    """What one arm said of some rows: those at `places`."""

    lent: Lent
    scored: Scored
    places: NDArray[np.intp]
    experiment_id: str = ""
    arm: str = ""
    fell_back: bool = False  # the arm could not answer, and the control did

    @property
    def mark(self) -> dict[str, str | bool] | None:
        """What an answer says of where it came from."""
        if not self.experiment_id:
            return None
        return {"experiment_id": self.experiment_id, "arm": self.arm, "fell_back": self.fell_back}


def some(rows: Rows, places: NDArray[np.intp]) -> Rows:
    """The rows at `places`."""
    names, matrix, imputed, silence = rows
    return names, matrix[places], imputed[places], silence[places]


async def answer_soon(trial: Trial, tally: Tally, control: Lent, pool_ids: list[str], rows: Rows) -> list[Part]:
    """Each pool's arm, asked on the event loop for one request; raises what the control's scorer raises."""
    parts = []
    for arm, places in trial.groups(pool_ids):
        mine = some(rows, places)
        part = await _challenged(trial, tally, arm, mine, places)
        if part is None:
            began = time.perf_counter()
            with _failures(trial, tally, arm):
                scored = await predict_soon(control.scorer, control.version, *mine)
            part = _by_control(trial, tally, arm, control, scored, places, time.perf_counter() - began)
        parts.append(part)
    return parts


def answer(trial: Trial, tally: Tally, control: Lent, pool_ids: list[str], rows: Rows) -> list[Part]:
    """`answer_soon` off the event loop, for many rows at once: counted, not timed."""
    parts = []
    for arm, places in trial.groups(pool_ids):
        mine = some(rows, places)
        part = challenge(trial, tally, arm, mine, places, served=len(places))
        if part is None:
            with _failures(trial, tally, arm):
                scored = predict(control.scorer, control.version, *mine)
            part = _by_control(trial, tally, arm, control, scored, places, None)
        parts.append(part)
    return parts


def challenge(
    trial: Trial, tally: Tally, arm: Arm, rows: Rows, places: NDArray[np.intp], served: int = 0
) -> Part | None:
    """A challenger's answer for many rows, off the event loop; None when it has none. `served` is for its figures."""
    loan = _borrowed(trial, tally, arm)
    if loan is None:
        return None
    with loan as lent:
        try:
            scored = predict(lent.scorer, lent.version, *rows)
        except Exception as error:  # noqa: BLE001 - whatever a challenger meets, the control answers
            tally.add(trial.experiment_id, arm.arm, calls=1, errors=1, error=repr(error))
            return None
    tally.add(trial.experiment_id, arm.arm, calls=1, served=served)
    return Part(lent, scored, places, trial.experiment_id, arm.arm)


def _borrowed(trial: Trial, tally: Tally, arm: Arm) -> Loan | None:
    """A challenger's scorer; None for the control, and for one that could not be loaded here, which is a failure."""
    if arm is trial.experiment.control:
        return None
    loan = trial.lend(arm)
    if loan is None:
        tally.add(trial.experiment_id, arm.arm, calls=1, errors=1, error="it is not loaded in this process")
    return loan


@contextmanager
def _failures(trial: Trial, tally: Tally, arm: Arm) -> Iterator[None]:
    """The control's failures reach who asked; where it stands in for an arm they are nobody's figure."""
    try:
        yield
    except Exception as error:
        if arm is trial.experiment.control:
            tally.add(trial.experiment_id, arm.arm, calls=1, errors=1, error=repr(error))
        raise


async def _challenged(trial: Trial, tally: Tally, arm: Arm, rows: Rows, places: NDArray[np.intp]) -> Part | None:
    """A challenger's own answer; None when it has none."""
    loan = _borrowed(trial, tally, arm)
    if loan is None:
        return None
    with loan as lent:
        began = time.perf_counter()
        try:
            scored = await predict_soon(lent.scorer, lent.version, *rows)
        except Exception as error:  # noqa: BLE001 - whatever a challenger meets, the control answers
            tally.add(trial.experiment_id, arm.arm, calls=1, errors=1, error=repr(error))
            return None
        return _by_arm(trial, tally, arm, lent, scored, places, time.perf_counter() - began)


def _by_arm(
    trial: Trial, tally: Tally, arm: Arm, lent: Lent, scored: Scored, places: NDArray[np.intp], seconds: float | None
) -> Part:
    tally.add(trial.experiment_id, arm.arm, calls=1, served=len(places), seconds=seconds)
    return Part(lent, scored, places, trial.experiment_id, arm.arm)


def _by_control(
    trial: Trial, tally: Tally, arm: Arm, lent: Lent, scored: Scored, places: NDArray[np.intp], seconds: float | None
) -> Part:
    """The control's answer, in its own right or in another arm's place."""
    if arm is trial.experiment.control:
        return _by_arm(trial, tally, arm, lent, scored, places, seconds)
    tally.add(trial.experiment_id, arm.arm, fell_back=len(places))
    return Part(lent, scored, places, trial.experiment_id, arm.arm, fell_back=True)
