"""Which clusters are known: put, asked about, pulled; and what a warning does to their nodes."""

import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engines.contract import Cluster, Requirements
from examples.clusters import sample_clusters
from services.errors import ClusterUnknown, StoreUnavailable
from services.live.clusters import Clusters
from services.live.interruptions import KEEP, LOG, Interruptions
from services.live.platform import CentralPlatform
from services.live.pulling import BY, ClusterPuller
from services.store.protocol import Entry
from services.store.sqlite import SqliteStore
from tests.platform_server import Platform, central_platform

NOW = datetime.now(UTC).replace(microsecond=0)
STATE: dict[str, Any] = sample_clusters(NOW)["shop-frontend"]


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.sqlite3")


@pytest.fixture
def platform() -> Iterator[Platform]:
    with central_platform() as served:
        yield served


def cluster(cluster_id: str, **more: Any) -> Cluster:
    return Cluster.model_validate({**STATE, "cluster_id": cluster_id, **more})


def first_node(of: Cluster) -> str:
    return of.nodes[0].node_id


def noticed(of: Cluster) -> dict[str, datetime]:
    return {node.node_id: at for node in of.nodes if (at := node.interruption_notice_at) is not None}


def test_who_only_asks_is_known_for_a_day(store: SqliteStore) -> None:
    clusters = Clusters(store)
    asked = Cluster(cluster_id="asked", requirements=Requirements(vcpu=4))
    clusters.requested(asked, "orchestrator", NOW)
    assert clusters.current(NOW + timedelta(hours=23)) == [asked]
    clusters.requested(asked, "orchestrator", NOW + timedelta(hours=23))
    assert clusters.current(NOW + timedelta(hours=40)) == [asked]
    assert clusters.current(NOW + timedelta(hours=48)) == []
    with pytest.raises(ClusterUnknown):
        clusters.get("asked")


def test_a_request_changes_nothing_about_what_was_put(store: SqliteStore) -> None:
    clusters = Clusters(store)
    put = cluster("mine")
    clusters.put(put, "me", NOW)
    clusters.requested(put.model_copy(update={"nodes": ()}), "another", NOW)
    assert clusters.get("mine") == put
    assert clusters.current(NOW + timedelta(days=400)) == [put]


def test_what_the_platform_names_is_known_as_long_as_it_names_it(store: SqliteStore, platform: Platform) -> None:
    clusters = Clusters(store)
    puller = ClusterPuller(CentralPlatform(platform.url, "key"), clusters, 60)
    clusters.put(cluster("mine"), "me", NOW)
    assert puller.pull() == 0, "it does not say"
    pulled = [{**STATE, "cluster_id": name, "colour": "new"} for name in ("one", "two", "mine")]
    platform.clusters = {"clusters": [*pulled, {"cluster_id": "broken", "nodes": 3}, "nonsense"]}
    assert puller.pull() == 3
    assert [one.cluster_id for one in clusters.all()] == ["mine", "one", "two"]
    assert clusters.taken_over(BY) == {"one", "two"}
    platform.clusters = [{**STATE, "cluster_id": "two", "nodes": []}]
    assert puller.pull() == 1
    assert [one.cluster_id for one in clusters.all()] == ["mine", "two"]
    assert clusters.get("two").nodes == ()
    platform.clusters = "nothing that is meant"
    assert puller.pull() == 0
    assert [one.cluster_id for one in clusters.all()] == ["mine", "two"], "what is not understood changes nothing"


def test_a_puller_ends_when_it_is_told_to(store: SqliteStore, platform: Platform) -> None:
    platform.clusters = [{**STATE, "cluster_id": "one"}]
    clusters, stop = Clusters(store), threading.Event()
    puller = ClusterPuller(CentralPlatform(platform.url, None), clusters, 0.01)
    thread = threading.Thread(target=puller.run, args=(stop,), daemon=True)
    thread.start()
    Interruptions(store).wait(threading.Event(), 0.2, lambda _ids: None)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert [one.cluster_id for one in clusters.all()] == ["one"]


@pytest.fixture(autouse=True)
def _as_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning is news for some minutes only, and a file may be read long before its tests run."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", datetime.now(UTC).replace(microsecond=0))


def test_a_warning_marks_the_node_of_each_cluster_that_has_it(store: SqliteStore) -> None:
    clusters, mine = Clusters(store), cluster("mine")
    node = first_node(mine)
    clusters.put(mine, "me", NOW)
    clusters.put(cluster("other", nodes=[]), "me", NOW)
    at = NOW - timedelta(seconds=30)
    assert Interruptions(store).tell(node, at) == ["mine"]
    assert noticed(clusters.get("mine")) == {node: at}
    assert Interruptions(store).tell("i-nobody", at) == []
    assert Interruptions(store).tell(node, NOW - timedelta(hours=1)) == [], "of an hour ago"


def test_a_provider_id_is_the_instance_it_ends_with(store: SqliteStore) -> None:
    nodes = [{**node, "node_id": f"aws:///{node['availability_zone']}/i-{n}"} for n, node in enumerate(STATE["nodes"])]
    clusters = Clusters(store)
    clusters.put(cluster("mine", nodes=nodes), "me", NOW)
    assert Interruptions(store).tell("i-0", NOW) == ["mine"]
    assert list(noticed(clusters.get("mine"))) == [nodes[0]["node_id"]]


def test_a_state_put_after_the_warning_keeps_the_mark_for_some_minutes(store: SqliteStore) -> None:
    clusters, mine = Clusters(store), cluster("mine")
    node = first_node(mine)
    clusters.put(mine, "me", NOW)
    clusters.notice(node, NOW)
    clusters.put(mine, "me", NOW + timedelta(minutes=2))
    assert noticed(clusters.get("mine")) == {node: NOW}
    clusters.put(mine, "me", NOW + timedelta(minutes=11))
    assert noticed(clusters.get("mine")) == {}


def test_the_loop_hears_of_it_while_it_waits(store: SqliteStore) -> None:
    clusters, mine = Clusters(store), cluster("mine")
    clusters.put(mine, "me", NOW)
    Interruptions(store).tell(first_node(mine), NOW)
    waiting, stop, heard = Interruptions(store), threading.Event(), threading.Event()
    acted: list[list[str]] = []

    def act(cluster_ids: Any) -> None:
        acted.append(list(cluster_ids))
        heard.set()

    thread = threading.Thread(target=waiting.wait, args=(stop, 3600, act), daemon=True)
    thread.start()
    for _ in range(KEEP + 10):
        Interruptions(store).tell(first_node(mine), NOW)
    assert heard.wait(20)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert {tuple(ids) for ids in acted} == {("mine",)}
    assert store.span(LOG)[1] - store.span(LOG)[0] < KEEP


class Flaky(SqliteStore):
    """A store that is away for the first looks."""

    failures = 2

    def read(self, log: str, *, after: int = 0, kinds: Sequence[str] = (), limit: int = 1000) -> list[Entry]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        return super().read(log, after=after, kinds=kinds, limit=limit)


def test_a_store_that_is_away_for_a_moment_does_not_end_the_wait(tmp_path: Path) -> None:
    flaky = Flaky(tmp_path / "store.sqlite3")
    waiting, stop = Interruptions(flaky), threading.Event()
    flaky.append(LOG, "mine", NOW, b"")
    acted: list[str] = []

    def act(cluster_ids: Sequence[str]) -> None:
        acted.extend(cluster_ids)
        stop.set()

    waiting.wait(stop, 30, act)
    assert (acted, flaky.failures) == (["mine"], 0)
