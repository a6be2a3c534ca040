"""The ledger's keeper, put together from settings: it works beside the live loop, under its lease."""

import threading
from collections.abc import Callable, Sequence

from gapfill.history import History
from services.composition.parts import Parts, spool_folder
from services.live.board import simulated
from services.live.ledger.intake import SpoolIntake
from services.live.ledger.keeper import LedgerKeeper
from services.live.ledger.skill import SkillMeter
from services.models.version import ModelVersion
from services.store.protocol import Lease

MOST_S = 5.0
STOP_PATIENCE_S = 10.0


def open_ledger(parts: Parts, history: History, lease: Lease) -> LedgerKeeper:
    """The keeper; only a simulated market interrupts nodes whose id is no EC2 instance id."""

    def versions() -> Sequence[ModelVersion]:
        return list(parts.slots.versions().values())

    meter = SkillMeter(history, parts.store, lease, parts.metrics, versions)
    return LedgerKeeper(
        history,
        parts.store,
        lease,
        SpoolIntake(spool_folder(parts.settings), history.ledger),
        parts.metrics,
        only_instances=not simulated(history.market_id),
        measure=meter.measure,
    )


def beside(
    work: Callable[[threading.Event], None], keeper: LedgerKeeper, interval_s: float
) -> Callable[[threading.Event], None]:
    """The loop's work with the keeper on a thread of its own; the keeper's last turn comes after the loop's last."""

    def both(stop: threading.Event) -> None:
        ended = threading.Event()
        failed: list[Exception] = []

        def keep() -> None:
            try:
                keeper.run(ended, min(interval_s, MOST_S))
            except Exception as error:  # noqa: BLE001 - the lease is lost: the loop ends too, and says why
                failed.append(error)
                stop.set()

        thread = threading.Thread(target=keep, name="ledger", daemon=True)
        thread.start()
        try:
            work(stop)
        finally:
            ended.set()
            thread.join(STOP_PATIENCE_S)
        if failed:
            raise failed[0]

    return both
