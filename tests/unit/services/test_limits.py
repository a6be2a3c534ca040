"""Limits in memory: rates and failed sign-ins."""

import pytest

from services import limits
from services.errors import TooManyRequests
from services.limits import FailedSignIns, Rate


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_allows_a_burst_and_then_its_pace() -> None:
    clock = Clock()
    rate = Rate(60, burst=3, clock=clock)
    for _ in range(3):
        rate.spend("a")
    with pytest.raises(TooManyRequests) as refused:
        rate.spend("a")
    assert refused.value.retry_after_s == 1.0
    rate.spend("b")
    clock.now += 1.0
    rate.spend("a")
    assert not rate.try_spend("a")
    clock.now += 3600
    assert [rate.try_spend("a") for _ in range(4)] == [True, True, True, False]


def test_waiting_as_long_as_told_is_enough() -> None:
    clock = Clock()
    rate = Rate(7, burst=1, clock=clock)
    rate.spend("a")
    with pytest.raises(TooManyRequests) as refused:
        rate.spend("a")
    clock.now += refused.value.retry_after_s
    rate.spend("a")


def test_no_rate_is_no_limit() -> None:
    rate = Rate(0)
    assert all(rate.try_spend("a") for _ in range(10_000))


def test_failed_sign_ins_make_an_address_wait() -> None:
    clock = Clock()
    failures = FailedSignIns(limit=3, window_s=60, clock=clock)
    for _ in range(3):
        failures.check("10.0.0.1")
        failures.failed("10.0.0.1")
        clock.now += 10
    with pytest.raises(TooManyRequests) as refused:
        failures.check("10.0.0.1")
    assert refused.value.retry_after_s == 30
    failures.check("10.0.0.2")
    clock.now += 30
    failures.check("10.0.0.1")


def test_a_success_forgets_the_failures() -> None:
    failures = FailedSignIns(limit=2)
    for _ in range(5):
        failures.failed("a")
        failures.succeeded("a")
        failures.check("a")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_NAMES", 5)
    rate, failures = Rate(60, burst=1), FailedSignIns(limit=1)
    for n in range(20):
        rate.spend(str(n))
        failures.failed(str(n))
    assert list(rate._buckets) == list(failures._failures) == ["15", "16", "17", "18", "19"]
