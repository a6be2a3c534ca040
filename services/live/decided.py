"""What is told of each decision beside the decision: metrics, the log, and the audit of an engine that failed."""

import threading

import structlog

from engines.contract import DecisionOutput, StoodInFor
from engines.errors import EngineFailed
from services.audit import Audit
from services.errors import StoreUnavailable
from services.telemetry import Metrics

_log = structlog.get_logger(__name__)


class Decided:
    """Thread-safe; an engine's failure is in the audit once per selection and kind, and in the metrics each time."""

    def __init__(self, metrics: Metrics, audit: Audit) -> None:
        self._metrics = metrics
        self._audit = audit
        self._lock = threading.Lock()
        self._told: set[tuple[str, int, str]] = set()

    def made(self, output: DecisionOutput, seconds: float) -> None:
        """A decision was made, by the selected engine or by what stands in for it."""
        by = output.made_by
        if by is None:
            return
        result = "ok" if by.stands_in_for is None else "stood_in"
        self._metrics.decisions.labels(engine_id=by.engine_id, result=result).inc(len(output.decisions))
        self._metrics.decision_seconds.labels(engine_id=by.engine_id).observe(seconds)
        if by.stands_in_for is not None:
            self._failure(by.stands_in_for, by.generation, by.engine_id)

    def failed(self, error: EngineFailed) -> None:
        """Nobody could decide."""
        self._metrics.decisions.labels(engine_id=error.engine_id, result="failed").inc()
        self._failure(StoodInFor(engine_id=error.engine_id, kind=error.kind, detail=error.detail), 0, "")

    def _failure(self, what: StoodInFor, generation: int, instead: str) -> None:
        self._metrics.engine_failures.labels(engine_id=what.engine_id, kind=what.kind).inc()
        key = (what.engine_id, generation, what.kind)
        with self._lock:
            is_new = key not in self._told
            self._told.add(key)
        if not is_new:
            return
        _log.error("engine_failed", engine_id=what.engine_id, kind=what.kind, detail=what.detail, instead=instead)
        try:
            self._audit.record(
                None,
                "engine.failed",
                what.engine_id,
                "failed",
                kind=what.kind,
                detail=what.detail[:500],
                instead=instead,
            )
        except StoreUnavailable:
            _log.warning("engine_failure_not_in_audit", engine_id=what.engine_id)
