"""An answer on its way to the ledger: which pools, which model and arm, and whether its price was made up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from services.live.board import FeatureBlock
from services.live.experiments.answering import Part
from services.live.facts import Places
from services.live.ledger.spool import Note, Spool
from services.live.predicted import Ask

# A price that is further from the pool's own than this share of it was made up; one of a minute ago is not.
WHAT_IF = 0.05


@dataclass(slots=True)
class Answer:
    """A `Noted` that keeps what was at hand, and works out the rest when it is written."""

    ask: Ask
    block: FeatureBlock
    places: Places
    parts: Sequence[Part]
    at: datetime

    @property
    def sameness(self) -> tuple[object, ...]:
        """The same question about the same data is the same answer, but for the hour of the day and a launch's age."""
        when = self.at.replace(minute=0, second=0, microsecond=0) if self.ask.launch_time is None else self.at
        whom = tuple((part.lent.version.model_id, part.experiment_id, part.arm) for part in self.parts)
        return (self.ask, self.block.seq, self.block.as_of, when, whom)

    def notes(self) -> Sequence[Note]:
        """One for each part."""
        launch = self.ask.launch_time
        start = max(self.at, launch) if launch is not None else self.at
        return [self._note(part, start) for part in self.parts]

    def _note(self, part: Part, start: datetime) -> Note:
        mine = self.places[part.places]
        return Note(
            part.lent.version,
            [self.block.pool_ids[place] for place in mine],
            part.scored,
            start,
            self.at,
            self.block.as_of,
            made_up(self.ask.spot_price, self.block, mine),
            part.experiment_id,
            part.arm,
        )


def note_answer(
    spool: Spool, ask: Ask, block: FeatureBlock, places: Places, parts: Sequence[Part], at: datetime
) -> None:
    """Note what each part said of its pools; about a microsecond."""
    spool.note(Answer(ask, block, places, parts, at))


def made_up(price: float | None, block: FeatureBlock, places: Places) -> NDArray[np.bool_] | None:
    """Which of the pools' rows, bool[n], have a price that was made up; None: none of them."""
    if price is None:
        return None
    known = block.matrix[places, block.names.index("price")]
    return np.asarray(np.abs(price - known) > WHAT_IF * known, dtype=np.bool_)
