"""An answer on its way to the ledger: which pools, which model and arm, and whether its price was made up."""

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


def note_answer(spool: Spool, ask: Ask, block: FeatureBlock, places: Places, parts: list[Part], at: datetime) -> None:
    """Note what each part said of its pools; some microseconds."""
    start = max(at, ask.launch_time) if ask.launch_time is not None else at
    for part in parts:
        mine = places[part.places]
        spool.note(
            Note(
                part.lent.version,
                [block.pool_ids[place] for place in mine],
                part.scored,
                start,
                at,
                block.as_of,
                made_up(ask.spot_price, block, mine),
                part.experiment_id,
                part.arm,
            )
        )


def made_up(price: float | None, block: FeatureBlock, places: Places) -> NDArray[np.bool_] | None:
    """Which of the pools' rows, bool[n], have a price that was made up; None: none of them."""
    if price is None:
        return None
    known = block.matrix[places, block.names.index("price")]
    return np.asarray(np.abs(price - known) > WHAT_IF * known, dtype=np.bool_)
