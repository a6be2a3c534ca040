"""What stands for each cluster, and the diary of decisions: told when they are news, kept with their input."""

from datetime import timedelta
from pathlib import Path

import pytest

from engines.catalogue import Catalogue
from engines.contract import Cluster, DecisionInput, Requirements
from engines.host import EngineHost
from services.errors import ClusterUnknown, LeaseLost, RevisionConflict
from services.live.clusters import Clusters
from services.live.deciding import DecisionDiary, follow_selection, question
from services.live.selection import EngineSelection
from services.live.tracking import RegionScope, Tracked
from services.settings import Settings
from services.store.sqlite import SqliteStore
from tests.unit.live.live_blocks import NOW, block, slots, version

FRESH = Cluster(cluster_id="fresh", requirements=Requirements(vcpu=0.1))


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.sqlite3")


@pytest.fixture
def host(tmp_path: Path) -> EngineHost:
    made = EngineHost(Catalogue(tmp_path / "engines"))
    made.select("spot_optimizer_v1", {}, 1)
    return made


def asked(minutes: int = 0, *clusters: Cluster) -> DecisionInput:
    at = NOW + timedelta(minutes=minutes)
    return question(block(at=at), slots(version()), clusters or (FRESH,))


def test_clusters_are_put_replaced_and_forgotten(store: SqliteStore) -> None:
    clusters = Clusters(store)
    assert clusters.put(FRESH, "me", NOW) is True
    assert clusters.put(FRESH.model_copy(update={"product_description": "Windows"}), "me", NOW) is False
    assert clusters.get("fresh").product_description == "Windows"
    assert [cluster.cluster_id for cluster in clusters.all()] == ["fresh"]
    clusters.remove("fresh")
    for look in (clusters.get, clusters.remove):
        with pytest.raises(ClusterUnknown):
            look("fresh")


def test_more_clusters_than_a_page_are_all_decided_for(store: SqliteStore) -> None:
    clusters = Clusters(store)
    for number in range(1005):
        clusters.put(Cluster(cluster_id=f"c-{number}"), "me", NOW)
    assert len(clusters.all()) == len(clusters.rows()) == 1005


def test_a_question_has_the_pools_that_could_matter() -> None:
    elsewhere = asked().pools
    assert {pool.region for pool in elsewhere} == {"us-east-1", "eu-west-1"}
    assert all(pool.interruption_probability == 0.05 for pool in elsewhere)
    there = FRESH.constraints.model_copy(update={"allowed_regions": ("eu-west-1",)})
    limited = FRESH.model_copy(update={"constraints": there})
    assert {pool.region for pool in asked(0, limited).pools} == {"eu-west-1"}
    windows = FRESH.model_copy(update={"product_description": "Windows"})
    assert asked(0, windows).pools == ()


def test_a_decision_is_told_once_and_again_when_it_has_expired(store: SqliteStore, host: EngineHost) -> None:
    diary = DecisionDiary(store, keep=100)
    told = diary.news(asked(), host.decide(asked()))
    assert [decision.cluster_id for decision in told] == ["fresh"]
    assert diary.news(asked(1), host.decide(asked(1))) == []
    assert [d.cluster_id for d in diary.news(asked(30), host.decide(asked(30)))] == ["fresh"]
    past = diary.past("fresh", 10, None)
    assert [row["seq"] for row in past] == [2, 1]
    assert diary.past(None, 10, 2) == past[1:]
    assert diary.latest("fresh")[0]["decision"] == past[0]["decision"]
    assert diary.past("fre", 10, None) == []
    assert diary.latest("fre") == []


def test_nothing_stands_for_a_cluster_that_was_forgotten(store: SqliteStore, host: EngineHost) -> None:
    diary = DecisionDiary(store, keep=100)
    diary.news(asked(), host.decide(asked()))
    diary.forget("fresh")
    assert diary.latest() == diary.latest("fresh") == []
    assert len(diary.past("fresh", 10, None)) == 1
    assert diary.news(asked(1), host.decide(asked(1))), "registered anew, it is told anew"


def test_a_diary_whose_lease_has_passed_on_is_closed(store: SqliteStore, host: EngineHost) -> None:
    lease = store.acquire("live_loop", "me", 30)
    assert lease is not None
    diary = DecisionDiary(store, 100, lease)
    store.acquire("live_loop", "me", 30)
    with pytest.raises(LeaseLost):
        diary.news(asked(), host.decide(asked()))
    assert diary.latest() == []
    assert diary.past(None, 10, None) == []


def test_a_host_follows_the_selection(store: SqliteStore, tmp_path: Path) -> None:
    host, selection = EngineHost(Catalogue(tmp_path)), EngineSelection(store)
    assert follow_selection(host, selection) is False
    selection.select("on_demand_only", {}, "me", NOW)
    assert follow_selection(host, selection) is True
    assert follow_selection(host, selection) is False
    chosen = selection.select("spot_optimizer_v1", {}, "me", NOW)
    assert chosen.generation == 2
    assert follow_selection(host, selection) is True
    assert host.selection is not None
    assert host.selection.engine_id == "spot_optimizer_v1"
    store.put("pointer", "engine", chosen.model_dump(mode="json"))
    with pytest.raises(RevisionConflict):
        store.put("pointer", "engine", {}, expected=1)


def test_what_a_fill_asks_for_is_tracked_beside_what_is_configured(store: SqliteStore) -> None:
    settings = Settings.load({"GAP_FILLER_REGIONS": "us-east-1", "GAP_FILLER_INSTANCE_TYPES": "m5.large"})
    tracked = Tracked(store, settings)
    linux = ("Linux/UNIX",)
    assert tracked.scopes() == [RegionScope("us-east-1", ("m5.large",), linux)]
    for _ in range(2):
        tracked.add(["us-east-1", "eu-west-1"], ["c5.large"], ["Linux/UNIX"])
    assert tracked.scopes() == [
        RegionScope("eu-west-1", ("c5.large",), linux),
        RegionScope("us-east-1", ("c5.large", "m5.large"), linux),
    ]
    assert Tracked(store, settings).scopes() == tracked.scopes()
