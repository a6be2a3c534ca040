"""A loop in little, to be killed: it writes decisions into a diary while a courier delivers them."""

import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from engines.contract import (
    Action,
    Cluster,
    ClusterDecision,
    DecisionInput,
    DecisionOutput,
    ExecutionPlan,
    Reason,
    Risk,
    Savings,
)
from services.live.deciding import LOG, DecisionDiary
from services.live.delivery import Courier, Pace, backlog
from services.live.platform import CentralPlatform
from services.store.sqlite import SqliteStore
from services.telemetry import Metrics

START = datetime(2026, 3, 1, tzinfo=UTC)
NONE = Savings(p10=0, p50=0, p90=0)


def decided(cluster_id: str, number: int) -> tuple[DecisionInput, DecisionOutput]:
    """The `number`th decision for a cluster; each has another content."""
    as_of = START + timedelta(seconds=number)
    hold = Action(
        action_id="a",
        type="hold",
        node_ids=(f"node-{number}",),
        target=None,
        score=0,
        risk=Risk(probability=None, horizon_hours=1),
        savings=NONE,
        reasons=(Reason(code="test", text="A test."),),
        valid_until=as_of + timedelta(hours=1),
        rollback="",
        data_as_of=as_of,
    )
    decision = ClusterDecision(
        cluster_id=cluster_id,
        recommendations=(hold,),
        execution_plan=ExecutionPlan(),
        estimated_savings=NONE,
        current_cost_usd_per_hour=None,
        planned_cost_usd_per_hour=None,
        data_as_of=as_of,
    )
    given = DecisionInput(as_of=as_of, market_id="sim:1", clusters=(Cluster(cluster_id=cluster_id),), pools=())
    return given, DecisionOutput(as_of=as_of, decisions=(decision,))


def main(file: Path, url: str, count: int) -> None:
    """Go on from what the diary has, up to `count` decisions; end when all are delivered."""
    store = SqliteStore(file)
    lease = store.acquire("live_loop", "child", 30)
    assert lease is not None
    diary = DecisionDiary(store, 10 * count, lease)
    courier = Courier(store, CentralPlatform(url, "key", 5.0), lease, Metrics(CollectorRegistry()), Pace(base_s=0.01))
    threading.Thread(target=courier.run, args=(threading.Event(),), daemon=True).start()
    for number in range(store.span(LOG)[1], count):
        diary.news(*decided(f"cluster-{number % 3}", number))
        courier.wake()
    while backlog(store):
        time.sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
