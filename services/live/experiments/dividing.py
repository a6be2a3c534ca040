"""A tick's rows divided among the arms of an experiment: what is told of each pool, and what each arm said."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.live.board import FeatureBlock
from services.live.experiments.answering import Part, challenge, some
from services.live.experiments.counts import Tally
from services.live.experiments.trial import Trial
from services.models.confidence import Confidence
from services.models.held import Lent
from services.models.predictor import Scored
from services.models.scorer import Vector
from services.models.version import ModelVersion


@dataclass(frozen=True, slots=True)
class Divided:
    """Who answers for which of n rows; every row is in exactly one part, `homes` int[n, 2]: which, and where in it."""

    trial: Trial
    parts: tuple[Part, ...]
    values: Vector
    confidence: Vector
    names: list[str]
    model_ids: list[str]
    homes: NDArray[np.intp]

    @property
    def experiment_id(self) -> str:
        """Of the experiment."""
        return self.trial.experiment_id

    def imputed_names(self, row: int) -> list[str]:
        """The imputed features of one row, of its own model's."""
        part = self.parts[int(self.homes[row, 0])]
        return part.scored.imputed_names(int(self.homes[row, 1]), part.lent.version.features)

    def by_arm(self) -> Iterator[tuple[str, ModelVersion, Scored]]:
        """(arm, version, its predictions of its rows, NaN for the others'), each of n rows, for keeping."""
        for part in self.parts:
            if not part.fell_back:
                yield part.arm, part.lent.version, spread(part, len(self.values))


def divide(
    trial: Trial, tally: Tally, control: Lent, scored: Scored, block: FeatureBlock, rows: NDArray[np.intp] | slice
) -> Divided:
    """`scored` are the control's predictions of all the rows; a challenger that cannot answer leaves its own to it."""
    places = np.arange(len(block.pool_ids))[rows]
    pool_ids = [block.pool_ids[place] for place in places]
    given = (block.names, block.matrix[rows], block.imputed[rows], block.silence_h(rows))
    values, confidence = scored.values.copy(), scored.confidence.total.copy()
    names, model_ids, homes = [""] * len(places), [""] * len(places), np.zeros((len(places), 2), dtype=np.intp)
    parts: list[Part] = []
    for arm, mine in trial.groups(pool_ids):
        part = None
        if arm is not trial.experiment.control:
            part = challenge(trial, tally, arm, some(given, mine), mine)
        if part is None:
            fell_back = arm is not trial.experiment.control
            part = Part(control, subset(scored, mine), mine, trial.experiment_id, arm.arm, fell_back)
        values[mine], confidence[mine] = part.scored.values, part.scored.confidence.total
        homes[mine] = np.column_stack([np.full(len(mine), len(parts)), np.arange(len(mine))])
        for place in mine:
            names[place], model_ids[place] = arm.arm, part.lent.version.model_id
        parts.append(part)
    return Divided(trial, tuple(parts), values, confidence, names, model_ids, homes)


def subset(scored: Scored, places: NDArray[np.intp]) -> Scored:
    """Some rows of what was scored."""
    sure = scored.confidence
    familiar = None if sure.familiar is None else sure.familiar[places]
    confidence = Confidence(sure.observed[places], sure.fresh[places], familiar)
    return Scored(scored.values[places], confidence, scored.matrix[places], scored.imputed[places])


def spread(part: Part, rows: int) -> Scored:
    """A part's predictions among `rows` rows; NaN where it says nothing."""
    scored, places = part.scored, part.places

    def among(some_rows: Vector) -> Vector:
        full = np.full((rows, *some_rows.shape[1:]), np.nan)
        full[places] = some_rows
        return full

    sure = scored.confidence
    familiar = None if sure.familiar is None else among(sure.familiar)
    imputed = np.zeros((rows, scored.imputed.shape[1]), dtype=np.bool_)
    imputed[places] = scored.imputed
    confidence = replace(sure, observed=among(sure.observed), fresh=among(sure.fresh), familiar=familiar)
    return Scored(among(scored.values), confidence, among(scored.matrix), imputed)
