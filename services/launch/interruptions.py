"""The simulated market's interruptions, as they reach the sample clusters: warnings over HTTP, then a new node each."""

import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import structlog

from examples.clusters import sample_clusters
from gapfill.pools import LINUX, Pool
from services.api.asking import PREFIX
from services.keys import Keys
from services.live.ledger.eventbridge import WARNING
from services.settings import Settings
from services.store.opening import open_store

POLL_S = 5.0
END_PATIENCE_S = 10.0
# A cluster is put anew this often though nothing happened: the ledger trusts no state for longer than a day.
CONFIRM_EVERY = timedelta(hours=1)
KEY_NAME = "simulated market"
ACCOUNT = "000000000000"
Node = dict[str, Any]
Strike = tuple[str, datetime]  # pool_id, when
_log = structlog.get_logger(__name__)


class MarketEvents:
    """Asks the simulated market what it took, and says so to the server as EventBridge would."""

    def __init__(self, market: str) -> None:
        self._market = market

    def strikes(self, pool_ids: Iterable[str], start: datetime, end: datetime) -> list[Strike]:
        """The interruptions of these pools in [start, end], oldest first; raises httpx's errors."""
        wanted = set(pool_ids)
        found: list[Strike] = []
        with httpx.Client(base_url=self._market, timeout=30.0, trust_env=False) as market:
            for region in sorted({Pool.parse(pool_id).region for pool_id in wanted}):
                asked = {"region": region, "start": start.isoformat(), "end": end.isoformat()}
                answer = market.get("/_market/interruptions", params=asked).raise_for_status()
                rows = answer.json()["interruptions"]
                found += [(row["pool_id"], datetime.fromisoformat(row["at"])) for row in rows]
        return sorted((strike for strike in found if strike[0] in wanted), key=lambda strike: strike[1])


class Struck:
    """Keeps the sample clusters as their orchestrator would: what the market takes is warned of and replaced."""

    def __init__(self, api: httpx.Client, events: MarketEvents, say: Callable[[str], None]) -> None:
        self._api = api
        self._events = events
        self._say = say

    def look(self, now: datetime) -> int:
        """Look once at every sample cluster that is registered; how many nodes were taken. Raises httpx's errors."""
        rows = self._api.get("/clusters").raise_for_status().json()
        put = {row["cluster_id"]: datetime.fromisoformat(row["updated_at"]) for row in rows}
        return sum(self._cluster(name, put[name], now) for name in sample_clusters(now) if name in put)

    def _cluster(self, cluster_id: str, put_at: datetime, now: datetime) -> int:
        state = self._api.get(f"/clusters/{cluster_id}").raise_for_status().json()
        nodes: list[Node] = state["nodes"]
        spot = {node["node_id"]: pool_of(node) for node in nodes if node["capacity_type"] == "spot"}
        strikes = self._events.strikes(spot.values(), put_at, now) if spot else []
        taken = [
            (node, at)
            for node in nodes
            for pool_id, at in strikes
            if spot.get(node["node_id"]) == pool_id and datetime.fromisoformat(node["launched_at"]) <= at
        ]
        first: dict[str, tuple[Node, datetime]] = {}
        for node, at in taken:
            first.setdefault(node["node_id"], (node, at))
        if first:
            told = [warning(node["node_id"], spot[node["node_id"]], at) for node, at in first.values()]
            self._api.post("/events/interruptions", json=told).raise_for_status()
        if first or now - put_at > CONFIRM_EVERY:
            state["nodes"] = [successor(node, now) if node["node_id"] in first else node for node in nodes]
            self._api.put(f"/clusters/{cluster_id}", json=state).raise_for_status()
        for node, _ in first.values():
            where = f"{node['instance_type']} in {node['availability_zone']}"
            self._say(f"The simulated market took {node['node_id']} ({where}) of {cluster_id}; it is replaced.")
        return len(first)


def tell_past(api: httpx.Client, events: MarketEvents, start: datetime, now: datetime) -> tuple[int, float]:
    """Tell what the sample clusters would have held and lost in [start, now]: (interruptions, node hours).

    As each node taken is replaced at once, every pool of theirs was held all the time. Raises httpx's errors.
    """
    told: list[dict[str, Any]] = []
    hours = 0.0
    for cluster_id, state in sample_clusters(now).items():
        spot = {node["node_id"]: pool_of(node) for node in state["nodes"] if node["capacity_type"] == "spot"}
        strikes = events.strikes(spot.values(), start, now)
        stretches = []
        for name, pool_id in spot.items():
            ends = [at for struck, at in strikes if struck == pool_id]
            for number, (since, until) in enumerate(zip([start, *ends], [*ends, now], strict=True)):
                node_id = f"{name}-before-{number}"
                if since < until:
                    stretches.append({"node_id": node_id, "pool_id": pool_id, "start": iso(since), "end": iso(until)})
                if until != now:
                    told.append(warning(node_id, pool_id, until))
        if stretches:
            exposed = {"cluster_id": cluster_id, "stretches": stretches}
            hours += api.post("/events/exposures", json=exposed).raise_for_status().json()["node_hours"]
    for at in range(0, len(told), 500):
        api.post("/events/interruptions", json=told[at : at + 500]).raise_for_status()
    return len(told), hours


class Player:
    """Lets what the market takes reach the sample clusters until it is ended; its key ends with it."""

    def __init__(self, settings: Settings, market: str, say: Callable[[str], None]) -> None:
        """Begins at once."""
        self._settings = settings
        self._market = market
        self._say = say
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="interruptions", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End, and wait for it."""
        self._stop.set()
        self._thread.join(END_PATIENCE_S)

    def _run(self) -> None:
        store = open_store(self._settings)
        keys = Keys(store)
        for old in keys.list():
            if old.name == KEY_NAME and old.usable(datetime.now(UTC)):
                keys.revoke(old.key_id)  # of a start that was killed
        key, token = keys.create(KEY_NAME, "operator")
        url, headers = self._settings.local_url + PREFIX, {"Authorization": f"Bearer {token}"}
        try:
            with httpx.Client(base_url=url, headers=headers, timeout=30.0, trust_env=False) as api:
                self._look(Struck(api, MarketEvents(self._market), self._say))
        finally:
            keys.revoke(key.key_id)
            store.close()

    def _look(self, struck: Struck) -> None:
        while not self._stop.wait(POLL_S):
            try:
                struck.look(datetime.now(UTC))
            except httpx.HTTPError as error:
                _log.warning("interruptions_not_told", error=str(error))


def warning(instance_id: str, pool_id: str, at: datetime) -> dict[str, Any]:
    """What EventBridge would send; the same for the same instance and instant."""
    pool = Pool.parse(pool_id)
    return {
        "version": "0",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{instance_id}/{pool_id}/{iso(at)}")),
        "detail-type": WARNING,
        "source": "aws.ec2",
        "account": ACCOUNT,
        "time": iso(at),
        "region": pool.region,
        "resources": [f"arn:aws:ec2:{pool.zone}:instance/{instance_id}"],
        "detail": {"instance-id": instance_id, "instance-action": "terminate"},
    }


def successor(node: Node, now: datetime) -> Node:
    """The node that takes a taken one's place, in the same pool: `report-1` is followed by `report-1-r2`."""
    stem, mark, number = node["node_id"].rpartition("-r")
    fresh = f"{stem}-r{int(number) + 1}" if mark and number.isdigit() else f"{node['node_id']}-r2"
    return node | {"node_id": fresh, "launched_at": iso(now), "interruption_notice_at": None}


def pool_of(node: Node) -> str:
    """The pool of a sample cluster's node."""
    return Pool(node["region"], node["availability_zone"], node["instance_type"], LINUX).pool_id


def iso(at: datetime) -> str:
    """An instant as AWS writes it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def skills(groups: Sequence[dict[str, Any]]) -> str:
    """What accuracy says of each model against the naive forecast, in words; "" where nothing is known yet."""
    words = []
    for group in groups:
        skill = group.get("skill" if group["task"] == "spot_price" else "brier_skill")
        if skill is not None:
            words.append(f"{group['model_id']} {skill:+.2f} on {group['known']} known outcomes")
    return ", ".join(words)
