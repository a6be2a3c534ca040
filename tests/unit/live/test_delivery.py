"""Decisions reach a real HTTP server in order, at least once, whatever it answers and whoever is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.errors import LeaseLost
from services.live.deciding import DecisionDiary
from services.live.delivery import Courier, Pace, backlog, delivery_state
from services.live.platform import CentralPlatform
from services.store.sqlite import SqliteStore
from services.telemetry import Metrics
from tests.delivery_child import decided
from tests.platform_server import Platform, central_platform

ROOT = Path(__file__).parents[3]
QUICK = Pace(base_s=0.001, most_s=0.002, aside_after=3, aside_s=0.0)


@pytest.fixture
def platform() -> Iterator[Platform]:
    with central_platform() as served:
        yield served


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.sqlite3")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
def courier(store: SqliteStore, platform: Platform, metrics: Metrics) -> Courier:
    return Courier(store, CentralPlatform(platform.url, "the key", 5.0), None, metrics, QUICK)


def write(store: SqliteStore, *cluster_ids: str, keep: int = 1000) -> list[str]:
    """A decision for each of the clusters; all ids of the diary, oldest first."""
    diary = DecisionDiary(store, keep)
    for cluster_id in cluster_ids:
        assert diary.news(*decided(cluster_id, store.span("decisions")[1]))
    return [row["decision_id"] for row in reversed(diary.past(None, 1000, None))]


def counted(metrics: Metrics, result: str) -> float:
    return metrics.registry.get_sample_value("cloudoptim_deliveries_total", {"result": result}) or 0.0


def until(look: Callable[[], bool], patience_s: float = 30.0) -> None:
    deadline = time.monotonic() + patience_s
    while not look():
        assert time.monotonic() < deadline, "never"
        time.sleep(0.01)


def test_decisions_arrive_in_order_with_key_and_authorization(
    store: SqliteStore, platform: Platform, courier: Courier, metrics: Metrics
) -> None:
    ids = write(store, "a", "b", "a")
    assert len(set(ids)) == 3
    assert courier.deliver() == 0.0
    assert [one.key for one in platform.received] == ids
    first = platform.received[0]
    assert (first.path, first.authorization) == ("/api/decisions", "Bearer the key")
    assert first.body["cluster_id"] == first.body["decision"]["cluster_id"] == "a"
    assert (first.body["decision_id"], first.body["seq"], first.body["market_id"]) == (ids[0], 1, "sim:1")
    assert (backlog(store), counted(metrics, "delivered")) == (0, 3)
    assert courier.deliver() == 0.0
    assert len(platform.received) == 3, "nothing is sent twice"


def test_what_was_decided_before_there_was_a_platform_is_not_sent(store: SqliteStore, platform: Platform) -> None:
    write(store, "a", "b")
    late = Courier(store, CentralPlatform(platform.url, None), None, Metrics(CollectorRegistry()), QUICK)
    ids = write(store, "c")
    late.deliver()
    assert [one.key for one in platform.received] == ids[2:]
    assert platform.received[0].authorization == ""


@pytest.mark.parametrize("answer", [302, 401, 403, 404, 408, 425, 429, 500, 502, 503, 504])
def test_what_is_not_taken_is_sent_again_under_the_same_key(
    store: SqliteStore, platform: Platform, courier: Courier, answer: int
) -> None:
    platform.answers = [answer, answer]
    ids = write(store, "a", "b")
    waits = [courier.deliver() for _ in range(2)]
    assert all(wait > 0 for wait in waits)
    assert backlog(store) == 2
    assert str(answer) in delivery_state(store)
    assert courier.deliver() == 0.0
    assert [one.key for one in platform.received] == [ids[0], ids[0], ids[0], ids[1]]
    assert delivery_state(store) == "0 decisions wait"


def test_a_conflict_means_that_it_was_taken_before(store: SqliteStore, platform: Platform, courier: Courier) -> None:
    platform.answers = [409]
    write(store, "a")
    assert courier.deliver() == 0.0
    assert len(platform.received) == 1


@pytest.mark.parametrize("answer", [400, 410, 413, 422])
def test_what_is_refused_is_counted_and_not_sent_again(
    store: SqliteStore, platform: Platform, courier: Courier, metrics: Metrics, answer: int
) -> None:
    platform.answers = [answer]
    ids = write(store, "a", "b")
    assert courier.deliver() == 0.0
    assert [one.key for one in platform.received] == ids
    assert counted(metrics, "refused") == 1


def test_a_platform_that_does_not_answer_in_time_is_away(
    store: SqliteStore, platform: Platform, metrics: Metrics
) -> None:
    hasty = Courier(store, CentralPlatform(platform.url, "key", 0.1), None, metrics, QUICK)
    platform.answers = [0]
    ids = write(store, "a")
    assert hasty.deliver() > 0
    assert "Timeout" in delivery_state(store)
    assert hasty.deliver() == 0.0
    assert [one.key for one in platform.received] == [ids[0]] * 2


def test_nobody_there_is_away_too(store: SqliteStore, metrics: Metrics) -> None:
    nobody = Courier(store, CentralPlatform("http://127.0.0.1:9", None), None, metrics, QUICK)
    write(store, "a")
    assert nobody.deliver() > 0
    assert delivery_state(store).startswith("1 decisions wait: ConnectError")


def test_waits_grow_have_a_bound_and_a_part_of_chance(store: SqliteStore, platform: Platform, metrics: Metrics) -> None:
    pace = Pace(base_s=1.0, most_s=300.0)
    assert [pace.wait_s(failures, lambda: 1.0) for failures in range(10)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert pace.wait_s(100_000, lambda: 0.5) == 150
    patient = Courier(store, CentralPlatform(platform.url, "key"), None, metrics, pace, luck=lambda: 0.25)
    write(store, "a")
    platform.answers = [503] * 5
    assert [patient.deliver() for _ in range(4)] == [0.25, 0.5, 1.0, 2.0]
    platform.headers = {"Retry-After": "17"}
    assert patient.deliver() == 17.0


def test_one_that_the_platform_fails_on_does_not_hold_up_the_others(
    store: SqliteStore, platform: Platform, courier: Courier, metrics: Metrics
) -> None:
    platform.refuses = {"poison"}
    ids = write(store, "a", "poison", "b", "poison", "a")
    waits = [courier.deliver() for _ in range(3)]
    assert waits[-1] == 0.0
    assert platform.delivered() == [ids[0], ids[2], ids[4]]
    assert backlog(store) == 2
    courier.retry_aside()
    assert backlog(store) == 2
    platform.refuses = set()
    courier.retry_aside()
    assert platform.delivered()[3:] == [ids[1], ids[3]], "a cluster's decisions stay in their order"
    assert backlog(store) == 0


def test_more_than_the_log_keeps_is_lost_and_said_to_be(
    store: SqliteStore, platform: Platform, courier: Courier, metrics: Metrics
) -> None:
    write(store, *["a"] * 105, keep=10)
    ids = write(store, keep=10)
    assert len(ids) == 15, "trimmed at each hundredth"
    assert courier.deliver() == 0.0
    assert platform.delivered() == ids
    assert (counted(metrics, "lost"), counted(metrics, "delivered")) == (90, 15)


def test_another_courier_goes_on_where_one_was(store: SqliteStore, platform: Platform, courier: Courier) -> None:
    ids = write(store, "a", "b")
    platform.answers = [200, 503]
    courier.deliver()
    Courier(store, CentralPlatform(platform.url, "key"), None, Metrics(CollectorRegistry()), QUICK).deliver()
    assert platform.delivered() == ids
    assert [one.key for one in platform.received].count(ids[0]) == 1


def test_a_courier_whose_lease_has_passed_on_ends(store: SqliteStore, platform: Platform, metrics: Metrics) -> None:
    lease = store.acquire("live_loop", "me", 30)
    old = Courier(store, CentralPlatform(platform.url, "key"), lease, metrics, QUICK)
    store.acquire("live_loop", "me", 30)
    write(store, "a")
    with pytest.raises(LeaseLost):
        old.deliver()
    old.run(threading.Event())  # returns


def test_a_thread_of_its_own_delivers_what_it_is_woken_for(
    store: SqliteStore, platform: Platform, courier: Courier
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=courier.run, args=(stop,), daemon=True)
    thread.start()
    platform.answers = [500, 503, 0]
    platform.release.set()
    ids = write(store, *"abcab")
    courier.wake()
    until(lambda: platform.delivered() == ids)
    stop.set()
    courier.wake()
    thread.join(10)
    assert not thread.is_alive()


def test_a_kill_loses_nothing_and_doubles_nothing_beyond_the_key(tmp_path: Path, platform: Platform) -> None:
    file, count = tmp_path / "store.sqlite3", 40
    command = [sys.executable, "-m", "tests.delivery_child", str(file), platform.url, str(count)]
    platform.answers = [200, 500, 200, 503, 200, 200, 502, 200, 0]
    child = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    until(lambda: any(one.status == 0 for one in platform.received))
    child.send_signal(signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL
    platform.release.set()
    assert 0 < len(platform.delivered()) < count
    assert subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode == 0
    past = DecisionDiary(SqliteStore(file), 1000).past(None, 1000, None)
    ids = [row["decision_id"] for row in reversed(past)]
    assert platform.delivered() == list(dict.fromkeys(ids))
    assert len(set(ids)) == count
