"""What the shadow of requests said, on its way to the ledger as what was served is."""

from services.live.experiments.answering import Part
from services.live.experiments.shadow import Shown, Told
from services.live.ledger.spool import Note, Spool


def noting(spool: Spool) -> Told:
    """Takes what a challenger said of a request's rows, marked with its experiment and arm."""

    def note(shown: Shown, part: Part) -> None:
        spool.note(
            Note(
                part.lent.version,
                shown.pool_ids,
                part.scored,
                shown.start,
                shown.made_at,
                shown.block_as_of,
                shown.what_if,
                part.experiment_id,
                part.arm,
            )
        )

    return note
