"""The keeper: what was told becomes exposure and outcomes, once, in whatever order and after whatever restart."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from prometheus_client import CollectorRegistry

from engines.contract import Cluster
from gapfill.history import History
from services.live.clusters import Clusters
from services.live.ledger.accuracy import accuracy
from services.live.ledger.eventbridge import ExperimentTurn, Warned
from services.live.ledger.intake import SpoolIntake
from services.live.ledger.journal import LOG, LedgerJournal, Past
from services.live.ledger.keeper import LedgerKeeper
from services.live.ledger.scored import scored_rows
from services.store.protocol import Store
from services.store.sqlite import SqliteStore
from services.telemetry import Metrics
from tests.unit.ledger.ledger_rows import HOUR, NOW, A, B, made, points, predictions

LATER = NOW + 3 * HOUR


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return SqliteStore(tmp_path / "store.sqlite")


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history", "sim:1")


@pytest.fixture
def keeper(tmp_path: Path, store: Store, history: History) -> Callable[..., LedgerKeeper]:
    """A new keeper each time, as after a restart."""

    def new(*, only_instances: bool = False) -> LedgerKeeper:
        lease = store.acquire("live_loop", "tests", 600)
        assert lease is not None
        intake = SpoolIntake(tmp_path / "spool", history.ledger)
        return LedgerKeeper(
            history, store, lease, intake, Metrics(CollectorRegistry()), only_instances=only_instances,
            settle_after=timedelta(0),
        )  # fmt: skip

    return new


def cluster(*nodes: tuple[str, str], bought: str = "spot") -> Cluster:
    """`shop` with nodes (id, zone's letter) in pools A and B."""
    return Cluster.model_validate(
        {
            "cluster_id": "shop",
            "nodes": [
                {
                    "node_id": name,
                    "region": "us-east-1",
                    "availability_zone": f"us-east-1{zone}",
                    "instance_type": "m5.large",
                    "capacity_type": bought,
                    "capacity": {"vcpu": 2, "memory_gib": 8},
                    "requested": {"cpu": 0.5, "memory": 0.5},
                }
                for name, zone in nodes
            ],
        }
    )


def warned(event_id: str, at: datetime, node: str = "i-1", *, injected: bool = False) -> Warned:
    return Warned(event_id, at, "123456789012", "us-east-1", node, "terminate", "", injected)


def outcomes(history: History) -> list[tuple[object, ...]]:
    return history.ledger.outcomes().select("pool_id", "as_of", "actual", "status", "counts").rows()


def test_clusters_tell_the_ledger_only_what_is_new(
    store: Store, history: History, keeper: Callable[..., LedgerKeeper]
) -> None:
    clusters = Clusters(store)
    clusters.put(cluster(("i-1", "a")), "tests", NOW)
    clusters.put(cluster(("i-1", "a")), "tests", NOW + HOUR)
    clusters.put(cluster(("aws:///us-east-1b/i-2", "b"), ("i-3", "a")), "tests", NOW + HOUR)
    clusters.put(cluster(("i-3", "a"), bought="on_demand"), "tests", NOW + HOUR)
    clusters.put(cluster(("i-4", "a")), "tests", NOW + HOUR)
    clusters.remove("shop")
    assert store.span(LOG)[1] == 5
    keeper().read_journal()
    told = history.ledger.exposures().select("node_id", "pool_id", "held").rows()
    assert sorted(told) == sorted(
        [("i-1", A, True), ("i-1", A, False), ("i-2", B, True), ("i-3", A, True), ("i-2", B, False), ("i-3", A, False),
         ("i-4", A, True), ("i-4", A, False)]
    )  # fmt: skip
    keeper().read_journal()
    assert history.ledger.exposures().height == 8


def test_on_aws_only_instances_that_warnings_can_name_are_exposed(
    store: Store, history: History, keeper: Callable[..., LedgerKeeper]
) -> None:
    Clusters(store).put(cluster(("web-1", "a"), ("i-0abc12345", "b")), "tests", NOW)
    keeper(only_instances=True).read_journal()
    assert history.ledger.exposures()["node_id"].to_list() == ["i-0abc12345"]


def test_from_predictions_to_figures(store: Store, history: History, keeper: Callable[..., LedgerKeeper]) -> None:
    history.append_prices(points((NOW - 2 * HOUR, 40_000), (NOW + HOUR / 2, 50_000)))
    rows = [made("spot_price", NOW + n * HOUR / 4, value=0.05, model_id="p:v1") for n in range(4)]
    rows += [made("spot_interruption", NOW, pool=pool, value=0.2) for pool in (A, B)]
    history.append_predictions(predictions(*rows))
    journal = LedgerJournal(store)
    for node, pool in (("i-1", A), ("i-2", B)):
        journal.tell(Past("shop", node, pool, NOW - HOUR, NOW + 2 * HOUR))
    before = keeper()
    before.turn(NOW + HOUR / 2)
    assert outcomes(history) == []
    told = scored_rows(history, NOW, LATER, NOW + HOUR / 2)
    assert told["status"].unique().to_list() == ["awaiting_actuals"]
    assert {(row["status"], row["skillful"], row.get("mae")) for row in accuracy(told, ["model_id"])} == {
        ("awaiting_actuals", None, None)
    }
    journal.tell(warned("e1", NOW + HOUR / 3))
    keeper().turn(LATER)
    keeper().turn(LATER)
    told = scored_rows(history, NOW, LATER, LATER)
    assert told.filter(pl.col("task") == "spot_interruption").select("pool_id", "outcome", "naive").rows() == [
        (A, 1.0, 0.5),
        (B, 0.0, 0.5),
    ]
    assert told.filter(pl.col("task") == "spot_price").select("outcome", "naive").rows() == [
        (0.05, 0.04), (0.05, 0.04), (0.05, 0.05), (0.05, 0.05)
    ]  # fmt: skip
    (price, struck) = sorted(accuracy(told, []), key=lambda row: str(row["task"]), reverse=True)
    assert (price["mae"], price["known"], price["skill"]) == (0.0, 4, 1.0)
    assert (struck["brier"], struck["base_rate"]) == (pytest.approx((0.8**2 + 0.2**2) / 2), 0.5)


def test_news_that_comes_late_corrects(store: Store, history: History, keeper: Callable[..., LedgerKeeper]) -> None:
    history.append_predictions(predictions(made("spot_interruption", NOW)))
    journal, running = LedgerJournal(store), keeper()
    journal.tell(Past("shop", "i-1", A, NOW - HOUR, NOW + 2 * HOUR))
    running.turn(LATER)
    assert outcomes(history) == [(A, NOW, 0.0, "observed", True)]
    learnt = history.ledger.outcomes(known_at=datetime.now(NOW.tzinfo))
    journal.tell(warned("e1", NOW + HOUR / 2))
    journal.tell(warned("e1", NOW + HOUR / 2))
    running._settle_at = 0.0
    running.turn(LATER)
    assert outcomes(history) == [(A, NOW, 1.0, "observed", True)]
    assert history.ledger.interruptions().height == 1
    assert learnt["actual"].to_list() == [0.0]


def test_tests_are_no_interruptions(store: Store, history: History, keeper: Callable[..., LedgerKeeper]) -> None:
    journal = LedgerJournal(store)

    def turn(number: int, minutes: int, *, runs: bool) -> ExperimentTurn:
        at = NOW + timedelta(minutes=minutes)
        return ExperimentTurn(f"f{number}", at, "123456789012", "us-east-1", "EXP1", runs)

    journal.tell(turn(1, 0, runs=True))
    keeper().read_journal()  # what was told of the experiment outlives a restart
    journal.tell(turn(2, 10, runs=False))
    for number, minutes in enumerate((-1, 0, 9, 15, 16)):
        journal.tell(warned(f"e{number}", NOW + timedelta(minutes=minutes)))
    journal.tell(replace(warned("e5", NOW + timedelta(minutes=5)), region="eu-west-1"))
    journal.tell(warned("e6", NOW + HOUR, injected=True))
    keeper().read_journal()
    told = history.ledger.interruptions().sort("event_id").select("event_id", "injected").rows()
    assert [injected for _, injected in told] == [False, True, True, True, False, False, True]


def test_an_instance_belongs_to_the_node_that_stood_then(
    store: Store, history: History, keeper: Callable[..., LedgerKeeper]
) -> None:
    journal = LedgerJournal(store)
    journal.tell(Past("old", "i-1", B, NOW - 9 * HOUR, NOW - 8 * HOUR))
    journal.tell(Past("shop", "i-1", A, NOW - HOUR, NOW + HOUR))
    for number, (node, at) in enumerate(
        (("i-1", NOW), ("i-1", NOW - 8.5 * HOUR), ("i-1", NOW - 20 * HOUR), ("i-9", NOW))
    ):
        journal.tell(warned(f"e{number}", at, node))
    journal.tell(replace(warned("e4", NOW, "i-8"), pool_id=A))
    keeper().read_journal()
    told = history.ledger.interruptions().sort("event_id").select("pool_id", "cluster_id").rows()
    assert told == [(A, "shop"), (B, "old"), (B, "old"), ("", ""), (A, "")]


def test_what_fails_is_done_by_the_next_turn(
    store: Store, history: History, keeper: Callable[..., LedgerKeeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    Clusters(store).put(cluster(("i-1", "a")), "tests", NOW)
    running = keeper()
    with monkeypatch.context() as broken:
        broken.setattr(history.ledger, "append_exposures", lambda _rows: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            running.read_journal()
    running.read_journal()
    assert history.ledger.exposures().height == 1


def test_it_keeps_turning_until_it_is_stopped(
    store: Store, history: History, keeper: Callable[..., LedgerKeeper]
) -> None:
    stop, running = threading.Event(), keeper()
    thread = threading.Thread(target=running.run, args=(stop, 0.01))
    thread.start()
    Clusters(store).put(cluster(("i-1", "a")), "tests", datetime.now(NOW.tzinfo))
    deadline = time.monotonic() + 30
    while history.ledger.exposures().is_empty() and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    Clusters(store).remove("shop")
    stop.set()
    thread.join(30)
    assert history.ledger.exposures()["held"].to_list() == [True, False]
