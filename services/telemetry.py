"""Metrics and logs: every metric's name, and how a log line looks, in one place."""

import logging
import re
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

request_id: ContextVar[str] = ContextVar("request_id", default="")
model_id: ContextVar[str] = ContextVar("model_id", default="")
engine_id: ContextVar[str] = ContextVar("engine_id", default="")
task_id: ContextVar[str] = ContextVar("task_id", default="")

CONTEXT: tuple[ContextVar[str], ...] = (request_id, model_id, engine_id, task_id)

# Authorization values (scheme and credentials) and our own tokens, wherever they stand in a text.
SECRETS = re.compile(
    r"co_[0-9a-f]{12}_[A-Za-z0-9_-]+|(?i:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}|(?<=#code=)[A-Za-z0-9_-]+"
)
SECRET_NAMES = frozenset({"authorization", "x-api-key", "cookie", "set-cookie", "password", "token", "secret"})
REDACTED = "[redacted]"

OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access")  # they would write past ours
TALKATIVE = ("boto3", "botocore", "httpcore", "httpx", "s3transfer", "urllib3")  # one line per request they make

FAST_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
SLOW_S = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Every metric of the server, made once per process in the registry that is passed in.

    Label values come from closed sets (routes, models, regions), never from what a caller sent. The constructor is one
    flat list on purpose: a metric is looked for here, and nothing else happens in it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "cloudoptim_requests", "HTTP requests, by route template.", ["method", "route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "cloudoptim_request_seconds", "Time to answer.", ["route"], buckets=FAST_S + SLOW_S[6:], registry=registry
        )
        self.predictions = Counter(
            "cloudoptim_predictions", "Rows predicted.", ["model_id", "origin"], registry=registry
        )
        self.breakdowns = Counter(
            "cloudoptim_model_breakdowns",
            "Times that a model scored in a process of its own broke down, by kind.",
            ["model_id", "kind"],
            registry=registry,
        )
        self.decisions = Counter(
            "cloudoptim_decisions", "Decisions made, by result.", ["engine_id", "result"], registry=registry
        )
        self.engine_failures = Counter(
            "cloudoptim_engine_failures", "Answers of an engine not used.", ["engine_id", "kind"], registry=registry
        )
        self.decision_seconds = Histogram(
            "cloudoptim_decision_seconds", "Time of one decision.", ["engine_id"], buckets=SLOW_S, registry=registry
        )
        self.ticks = Counter("cloudoptim_ticks", "Turns of the live loop, by result.", ["result"], registry=registry)
        self.tick_seconds = Histogram(
            "cloudoptim_tick_seconds", "Time of one turn of the live loop.", buckets=SLOW_S, registry=registry
        )
        self.tick_at = Gauge(
            "cloudoptim_tick_timestamp_seconds", "When the last tick ended, seconds since 1970.", registry=registry
        )
        self.data_age_seconds = Gauge("cloudoptim_data_age_seconds", "Age of the newest live data.", registry=registry)
        self.gap_fill_records = Counter(
            "cloudoptim_gap_fill_records", "Price points stored.", ["region"], registry=registry
        )
        self.gap_fill_shards = Counter(
            "cloudoptim_gap_fill_shards", "Shards ended, by result.", ["region", "result"], registry=registry
        )
        self.gap_fill_errors = Counter(
            "cloudoptim_gap_fill_errors", "Errors met while filling.", ["region", "kind"], registry=registry
        )
        self.swaps = Counter("cloudoptim_swaps", "Model and engine swaps.", ["what", "result"], registry=registry)
        self.subscribers = Gauge("cloudoptim_websocket_subscribers", "Open WebSockets.", ["stream"], registry=registry)
        self.events = Counter("cloudoptim_events", "Events appended to the log.", ["kind"], registry=registry)
        self.deliveries = Counter(
            "cloudoptim_deliveries", "Decisions sent to the central platform, by result.", ["result"], registry=registry
        )
        self.delivery_backlog = Gauge(
            "cloudoptim_delivery_backlog", "Decisions that wait for the central platform.", registry=registry
        )
        self.drift_alerts = Counter(
            "cloudoptim_drift_alerts", "Drift alerts raised.", ["model_id", "kind"], registry=registry
        )
        self.spooled = Counter(
            "cloudoptim_served_answers",
            "Answers on their way to the ledger, by result: written, dropped.",
            ["result"],
            registry=registry,
        )
        self.spool_kills = Counter(
            "cloudoptim_spool_kills", "Processes killed with up to a second of answers unwritten.", registry=registry
        )
        self.outcomes = Counter(
            "cloudoptim_ledger_outcomes", "Outcomes settled.", ["task", "status"], registry=registry
        )
        self.interruption_events = Counter(
            "cloudoptim_interruption_events",
            "Interruption warnings received, by result.",
            ["result"],
            registry=registry,
        )
        self.accuracy = Gauge(
            "cloudoptim_accuracy",
            "Figures of the active models over the last week.",
            ["model_id", "origin", "measure"],
            registry=registry,
        )
        self.store_seconds = Histogram(
            "cloudoptim_store_seconds", "Time of one store call.", ["call"], buckets=(*FAST_S, 5.0), registry=registry
        )


class Redactor:
    """A structlog processor that keeps secrets out of every line: known values, tokens, and fields named like one."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        known = [re.escape(secret) for secret in secrets if len(secret) >= 4]
        self._pattern = re.compile("|".join([*known, SECRETS.pattern]))

    def __call__(self, _logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name, value in line.items():
            line[name] = REDACTED if name.lower() in SECRET_NAMES else self._clean(value)
        return line

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._pattern.sub(REDACTED, value)
        if isinstance(value, dict):
            return {
                name: REDACTED if str(name).lower() in SECRET_NAMES else self._clean(inner)
                for name, inner in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self._clean(inner) for inner in value]
        return value if isinstance(value, (int, float, bool, type(None))) else self._pattern.sub(REDACTED, str(value))


def add_context(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the identities of the work at hand on the line, those that are set."""
    for variable in CONTEXT:
        if value := variable.get():
            line.setdefault(variable.name, value)
    return line


FIRST_STEPS: tuple[Any, ...] = (
    add_context,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
)


def configure_logging(
    level: str, component: str, *, secrets: tuple[str, ...] = (), stream: TextIO | None = None
) -> None:
    """Send all logs of this process, the standard library's too, to `stream` (default: stderr).

    One JSON object a line, or readable text where the stream is a terminal. `component` names the process on each line;
    `secrets` are values that must never be written (see `Settings.secrets`).
    """
    target = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*FIRST_STEPS, structlog.stdlib.ExtraAdder()],
            processors=_last_steps(component, secrets, readable=target.isatty()),
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in OWN_HANDLERS:
        _pass_on(logging.getLogger(name))
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *FIRST_STEPS,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _pass_on(logger: logging.Logger) -> None:
    """Undo what a library has set up for itself: its lines go to the root's handler, at the root's level."""
    logger.handlers.clear()
    logger.propagate = True
    logger.disabled = False
    logger.setLevel(logging.NOTSET)


def _last_steps(component: str, secrets: tuple[str, ...], *, readable: bool) -> list[Any]:
    """From a line's values to its text; tracebacks become text before the redactor sees the line."""

    def add_component(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line.setdefault("component", component)
        return line

    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        add_component,
        structlog.processors.format_exc_info,
        Redactor(secrets),
        plain if readable else structlog.processors.JSONRenderer(),
    ]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a room; call it with an event in past participle and named values."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
