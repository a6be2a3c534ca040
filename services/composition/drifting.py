"""The drift watch of the live loop, put together from settings."""

from datetime import timedelta

from gapfill.history import History
from services.composition.parts import Parts
from services.live.drift.figures import Thresholds
from services.live.drift.journal import DriftJournal
from services.live.drift.monitor import DriftMonitor, Sources
from services.live.drift.reference import of_gap
from services.live.drift.skill import LedgerSkill
from services.live.drift.watching import DriftWatch
from services.live.stage import Stage
from services.models.shelf import Shelf
from services.store.protocol import Lease


def open_drift(parts: Parts, history: History, stage: Stage, lease: Lease) -> DriftWatch:
    """What the loop shows its blocks to; its writes are fenced by the loop's lease."""
    settings = parts.settings
    sources = Sources(
        sample=Shelf(settings.model_dir).reference,
        gap=lambda version, pool_ids, until: of_gap(history, version, pool_ids, until),
        skills=LedgerSkill(history, parts.store, lease),
    )
    thresholds = Thresholds(settings.drift_psi, settings.drift_ks, settings.drift_windows)
    monitor = DriftMonitor(
        DriftJournal(parts.store, lease),
        sources,
        thresholds,
        timedelta(seconds=settings.drift_window_s),
        settings.data_max_age_s,
    )
    return DriftWatch(monitor, stage, parts.metrics)
