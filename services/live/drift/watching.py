"""Drift as the loop meets it: shown every block, it tells its alerts as events, and never stops a tick."""

from collections.abc import Sequence

import structlog

from gapfill.errors import StaleWriter
from services.errors import LeaseLost
from services.live.board import FeatureBlock
from services.live.drift.monitor import DriftMonitor
from services.live.stage import Stage
from services.models.version import ModelVersion
from services.telemetry import Metrics

_log = structlog.get_logger(__name__)


class DriftWatch:
    """The monitor, the stage that its alerts are told on, and the count of them."""

    def __init__(self, monitor: DriftMonitor, stage: Stage, metrics: Metrics) -> None:
        self._monitor = monitor
        self._stage = stage
        self._metrics = metrics

    def look(self, block: FeatureBlock, versions: Sequence[ModelVersion]) -> None:
        """Show a block; raises `LeaseLost` and `StaleWriter`, what else goes wrong is logged."""
        try:
            alerts = self._monitor.observe(block, versions)
            for alert in alerts:
                self._metrics.drift_alerts.labels(model_id=alert.model_id, kind=alert.kind).inc()
            if alerts:
                self._stage.tell_drift(block, [alert.model_dump_json() for alert in alerts])
                self._metrics.events.labels(kind="drift").inc()
        except (LeaseLost, StaleWriter):
            raise
        except Exception:  # noqa: BLE001 - predictions and decisions must go on
            _log.exception("drift_not_looked_at")
