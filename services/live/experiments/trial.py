"""A running experiment as one process sees it: whose pool is whose, and the challengers' scorers held ready."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from services.live.experiments.experiment import Arm, Experiment
from services.models.held import Hold, Loan


class Trial:
    """Made anew whenever the experiment changes; safe to use from any thread."""

    def __init__(self, experiment: Experiment, holds: Mapping[str, Hold]) -> None:
        """`holds` are the challengers that this process has loaded, by model_id."""
        self.experiment = experiment
        self._split = experiment.split
        mine = {arm.model_id for arm in experiment.arms[1:]}
        self._holds = {name: hold for name, hold in holds.items() if name in mine}
        self._known: dict[str, int] = {}

    @property
    def experiment_id(self) -> str:
        """Its id."""
        return self.experiment.experiment_id

    def has(self, holds: Mapping[str, Hold]) -> bool:
        """Whether it knows of exactly these challengers of its own."""
        mine = {arm.model_id for arm in self.challengers}
        return {name: hold for name, hold in holds.items() if name in mine} == self._holds

    @property
    def challengers(self) -> tuple[Arm, ...]:
        """Every arm but the control."""
        return self.experiment.arms[1:]

    @property
    def in_shadow(self) -> bool:
        """Whether challengers are scored and nobody is told."""
        return self.experiment.kind == "shadow"

    def place_of(self, pool_id: str) -> int:
        """The place of the arm that answers for a pool; hashed once."""
        place = self._known.get(pool_id)
        if place is None:
            place = self._known[pool_id] = self._split.arm_of(pool_id)
        return place

    def groups(self, pool_ids: Sequence[str]) -> list[tuple[Arm, NDArray[np.intp]]]:
        """Who answers for which of the pools, as places in `pool_ids`; arms without any are absent."""
        owners = np.array([self.place_of(pool_id) for pool_id in pool_ids], dtype=np.intp)
        found = ((arm, np.flatnonzero(owners == place)) for place, arm in enumerate(self.experiment.arms))
        return [(arm, places) for arm, places in found if len(places)]

    def lend(self, arm: Arm) -> Loan | None:
        """A challenger's scorer; None while it is not loaded here, or not any more."""
        hold = self._holds.get(arm.model_id)
        if hold is None:
            return None
        try:
            return hold.lend()
        except ValueError:
            return None
