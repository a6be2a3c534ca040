"""Metrics have one home; log lines carry who and what, and no secrets."""

import contextvars
import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from services import telemetry
from services.telemetry import Metrics, configure_logging, get_logger

TOKEN = "co_0123456789ab_Zx-9_secretsecretsecretsecret"
SECRET = "an-operators-own-token"

Lines = Callable[[], list[dict[str, Any]]]


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def lines() -> Lines:
    stream = io.StringIO()
    configure_logging("info", "ingress", secrets=(SECRET,), stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_where_and_what(lines: Lines) -> None:
    get_logger("services.models").info("model activated", rows=3)
    (line,) = lines()
    assert line["event"] == "model activated"
    assert (line["level"], line["logger"], line["component"], line["rows"]) == ("info", "services.models", "ingress", 3)
    assert datetime.fromisoformat(line["at"]).utcoffset() == timedelta(0)


def test_a_line_carries_the_identities_of_the_work_at_hand(lines: Lines) -> None:
    def work() -> None:
        telemetry.request_id.set("r1")
        telemetry.model_id.set("price:v1")
        telemetry.engine_id.set("spot_optimizer_v1")
        telemetry.task_id.set("gap-fill-7")
        get_logger("a").info("done")
        logging.getLogger("b").info("done")

    contextvars.copy_context().run(work)
    get_logger("a").info("idle")
    *busy, idle = lines()
    for line in busy:
        assert (line["request_id"], line["model_id"]) == ("r1", "price:v1")
        assert (line["engine_id"], line["task_id"]) == ("spot_optimizer_v1", "gap-fill-7")
    assert not idle.keys() & {"request_id", "model_id", "engine_id", "task_id"}


def test_the_standard_librarys_loggers_write_the_same_lines(lines: Lines) -> None:
    logging.getLogger("uvicorn.error").addHandler(logging.StreamHandler())
    logging.getLogger("uvicorn.error").setLevel("CRITICAL")
    configure_logging("info", "ingress", stream=io.StringIO())
    assert logging.getLogger("uvicorn.error").handlers == []
    stream = io.StringIO()
    configure_logging("warning", "live", stream=stream)
    logging.getLogger("uvicorn.error").warning("port %d taken", 8001, extra={"port": 8001})
    logging.getLogger("uvicorn.error").info("not severe enough")
    get_logger("a").info("not severe enough")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["logger"], line["port"], line["component"]) == (
        "port 8001 taken",
        "uvicorn.error",
        8001,
        "live",
    )


def test_a_logger_made_early_follows_a_later_configuration() -> None:
    logger = get_logger("early")
    first, second = io.StringIO(), io.StringIO()
    configure_logging("info", "one", stream=first)
    logger.info("a")
    configure_logging("info", "two", stream=second)
    logger.info("b")
    assert [json.loads(text.getvalue())["component"] for text in (first, second)] == ["one", "two"]


def write_secrets() -> None:
    log = get_logger("a")
    leak = f"got {TOKEN}"
    log.info(leak, header=f"Bearer {SECRET}", url="/ui#code=abcDEF123")
    log.info("nested", headers={"Authorization": "Bearer abc", "n": [TOKEN, 1]}, raw=b"x " + TOKEN.encode())
    log.info("named", token="plain", password="plain", cookie="plain")
    logging.getLogger("b").warning("sent %s and %s", "Authorization: Basic dXNlcjpwYXNz", SECRET)
    try:
        raise ValueError(f"bad token {TOKEN}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("b").exception("failed")


HIDDEN = (TOKEN, "Zx-9", SECRET, "abcDEF123", "Bearer abc", "plain", "dXNlcjpwYXNz")


def test_secrets_are_never_written(lines: Lines) -> None:
    write_secrets()
    text = json.dumps(lines())
    assert [secret for secret in HIDDEN if secret in text] == []
    assert text.count("[redacted]") >= 10
    assert "ValueError: bad token [redacted]" in text
    assert lines()[1]["headers"]["n"][1] == 1


def test_a_terminal_gets_readable_text_without_secrets() -> None:
    stream = Terminal()
    configure_logging("debug", "cli", secrets=(SECRET,), stream=stream)
    write_secrets()
    text = stream.getvalue()
    assert not text.startswith("{")
    assert "ValueError: bad token [redacted]" in text
    assert [secret for secret in HIDDEN if secret in text] == []


def test_each_registry_has_every_metric_once() -> None:
    one, two = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    one.requests.labels("GET", "/api/v1/ml/models/list", "200").inc()
    one.tick_at.set(5)
    with one.store_seconds.labels("append").time():
        pass
    text = generate_latest(one.registry).decode()
    assert 'cloudoptim_requests_total{method="GET",route="/api/v1/ml/models/list",status="200"} 1.0' in text
    assert "cloudoptim_tick_timestamp_seconds 5.0" in text
    assert 'cloudoptim_store_seconds_count{call="append"} 1.0' in text
    assert "requests_total{" not in generate_latest(two.registry).decode()
    with pytest.raises(ValueError, match="Duplicated"):
        Metrics(one.registry)


def test_every_metric_is_ours_and_has_its_sentence() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.request_seconds.labels("/healthz")
    metrics.store_seconds.labels("append")
    for family in registry.collect():
        assert family.name.startswith("cloudoptim_")
        assert family.documentation.endswith(".")
        bounds = [sample.labels["le"] for sample in family.samples if sample.name.endswith("_bucket")]
        assert len(bounds) == len(set(bounds))
