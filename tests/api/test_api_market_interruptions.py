"""What the simulated market takes reaches the sample clusters: a warning over HTTP, a new node, an outcome."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from examples.clusters import sample_clusters
from services.launch.interruptions import MarketEvents, Strike, Struck, skills, successor, tell_past
from tests.api.api_server import until
from tests.api.conftest import World

REPORTS = "nightly-reports"
POOL = "us-west-2/us-west-2b/m5.large/Linux/UNIX"


class Foreseen(MarketEvents):
    """A market of which it is known what it takes."""

    def __init__(self, *strikes: Strike) -> None:
        super().__init__("http://127.0.0.1:9")
        self._strikes = strikes

    def strikes(self, pool_ids: Iterable[str], start: datetime, end: datetime) -> list[Strike]:
        """Those that were foreseen."""
        wanted = set(pool_ids)
        return [one for one in self._strikes if one[0] in wanted and start <= one[1] <= end]


@pytest.fixture
def reports(admin: httpx.Client) -> Iterator[datetime]:
    """The sample cluster that runs on spot; when it was put."""
    at = datetime.now(UTC)
    assert admin.put(f"/clusters/{REPORTS}", json=sample_clusters(at)[REPORTS]).status_code == 201
    yield at
    admin.delete(f"/clusters/{REPORTS}")


def nodes(api: httpx.Client) -> list[str]:
    return [node["node_id"] for node in api.get(f"/clusters/{REPORTS}").json()["nodes"]]


def test_a_node_that_the_market_takes_is_warned_of_and_replaced(admin: httpx.Client, reports: datetime) -> None:
    said: list[str] = []
    at = datetime.now(UTC)
    later = at + timedelta(seconds=30)
    elsewhere = ("us-west-2/us-west-2a/c5.large/Linux/UNIX", at)
    struck = Struck(admin, Foreseen((POOL, at), (POOL, at), elsewhere), said.append)
    assert struck.look(later) == 1
    assert nodes(admin) == ["report-1", "report-2-r2", "report-3"]
    assert struck.look(later + timedelta(seconds=30)) == 0, "the new node was launched after that"
    assert said == ["The simulated market took report-2 (m5.large in us-west-2b) of nightly-reports; it is replaced."]

    def warned() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = admin.get("/events/interruptions", params={"pool_id": POOL}).json()[
            "interruptions"
        ]
        return [row for row in rows if row["instance_id"] == "report-2"]

    (row,) = until(warned)
    assert (row["cluster_id"], row["injected"]) == (REPORTS, False)
    assert abs(datetime.fromisoformat(row["at"]) - at) < timedelta(seconds=1)


def test_a_quiet_cluster_is_confirmed_now_and_then(admin: httpx.Client, reports: datetime) -> None:
    def put_at() -> str:
        (row,) = [one for one in admin.get("/clusters").json() if one["cluster_id"] == REPORTS]
        return str(row["updated_at"])

    first, quiet = put_at(), Struck(admin, Foreseen(), lambda _: None)
    quiet.look(reports + timedelta(minutes=59))
    assert put_at() == first
    quiet.look(reports + timedelta(minutes=61))
    assert put_at() > first
    assert nodes(admin) == ["report-1", "report-2", "report-3"]


def test_the_past_of_the_sample_clusters_is_the_market_s(admin: httpx.Client, world: World) -> None:
    now = datetime.now(UTC)
    start = now - timedelta(days=28)
    market = MarketEvents(world.market)
    spot = [
        f"us-west-2/us-west-2{zone}/m5.{size}/Linux/UNIX"
        for zone, size in (("a", "large"), ("b", "large"), ("c", "xlarge"))
    ]
    strikes = market.strikes(spot, start, now)
    lost, hours = tell_past(admin, market, start, now)
    assert lost == len(strikes) > 0
    assert hours == pytest.approx(3 * 28 * 24, abs=0.1)

    def kept() -> list[tuple[str, datetime]]:
        asked: dict[str, str | int] = {"cluster_id": REPORTS, "limit": 1000}
        rows = admin.get("/events/interruptions", params=asked).json()["interruptions"]
        found = [(row["pool_id"], datetime.fromisoformat(row["at"])) for row in rows if "before" in row["instance_id"]]
        return found if len(found) == lost else []

    assert sorted(until(kept)) == sorted(strikes)
    assert tell_past(admin, market, start, now)[0] == lost
    assert len(kept()) == lost, "told twice, kept once"


def test_names_of_successors() -> None:
    now = datetime.now(UTC)
    names = ["report-1"]
    for _ in range(2):
        names.append(successor({"node_id": names[-1]}, now)["node_id"])
    assert names == ["report-1", "report-1-r2", "report-1-r3"]


def test_skill_in_words() -> None:
    groups: list[dict[str, Any]] = [
        {"task": "spot_price", "model_id": "p:v1", "skill": 0.123, "known": 9},
        {"task": "spot_interruption", "model_id": "i:v1", "brier_skill": -0.5, "known": 7},
        {"task": "spot_price", "model_id": "q:v1", "skill": None, "known": 0},
    ]
    assert skills(groups) == "p:v1 +0.12 on 9 known outcomes, i:v1 -0.50 on 7 known outcomes"
