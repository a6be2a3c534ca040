"""The latest events of each kind, as this process has seen them: what quick look-ups answer from."""

import polars as pl

from gapfill.scope import with_places
from services.live.events import LOG, Event, decode
from services.store.protocol import Store


class Latest:
    """The newest predictions event, indexed by what people ask for; fed by the feed's poller."""

    def __init__(self, store: Store) -> None:
        entry = store.latest(LOG, "predictions")
        self._predictions = decode(entry) if entry else None

    def take(self, event: Event) -> None:
        """A new event of any kind."""
        if event.kind == "predictions":
            self._predictions = event

    def predictions(
        self, *, regions: tuple[str, ...] = (), instance_types: tuple[str, ...] = (), pool_ids: tuple[str, ...] = ()
    ) -> tuple[Event, pl.DataFrame] | None:
        """The newest event and those of its rows that match; None before the first event."""
        event = self._predictions
        if event is None:
            return None
        rows = with_places(event.rows)
        for column, names in (("region", regions), ("instance_type", instance_types), ("pool_id", pool_ids)):
            if names:
                rows = rows.filter(pl.col(column).is_in(list(names)))
        return event, rows
