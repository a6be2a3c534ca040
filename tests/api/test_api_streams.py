"""The two WebSocket streams: hello, news, heartbeats, filters, resuming, resets, and how they end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from examples.clusters import sample_clusters
from tests.api.api_server import Served, until
from tests.api.conftest import World


@contextmanager
def stream(served: Served, path: str, token: str | None = None, **asked: Any) -> Iterator[ClientConnection]:
    """An open stream; the query's lists become repeated names."""
    headers = {"Authorization": f"Bearer {token or served.tokens['viewer']}"}
    url = served.socket_url(path) + (f"?{urlencode(asked, doseq=True)}" if asked else "")
    with connect(url, additional_headers=headers, proxy=None, max_size=None) as socket:
        yield socket


def read(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(socket.recv(timeout=15))
    return message


def news(socket: ClientConnection, kind: str, count: int) -> list[dict[str, Any]]:
    """The next messages of a kind; others are passed over."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        message = read(socket)
        if message["type"] == kind:
            found.append(message)
    return found


def closing(socket: ClientConnection) -> int:
    """The code that the server closes with, whatever it still says before."""
    try:
        while True:
            socket.recv(timeout=15)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0


def test_hello_then_every_ticks_predictions(served: Served) -> None:
    with stream(served, "/predictions/live") as socket:
        hello = read(socket)
        assert hello["type"] == "hello"
        assert hello["stream"] == "predictions"
        assert hello["market_id"] == "sim:11"
        assert hello["simulated"] is True
        assert hello["heartbeat_seconds"] == 0.6
        told = news(socket, "predictions", 3)
    assert told[0]["seq"] > hello["seq"]
    for one in told:
        assert one["models"]["spot_interruption"]["model_id"] == "spot-interruption:v1"
        assert {"us-east-1", "eu-west-1"} <= {row["region"] for row in one["predictions"]}
        row = one["predictions"][0]
        assert {"pool_id", "spot_price", "interruption_probability", "predicted_price", "data_as_of"} <= row.keys()
        assert datetime.fromisoformat(one["as_of"]) <= datetime.now(UTC)
    assert [one["previous"] for one in told[1:]] == [one["seq"] for one in told[:-1]]


def test_filters_let_through_what_was_asked_for(served: Served) -> None:
    asked: dict[str, Any] = {"region": ["eu-west-1"], "instance_type": ["m5.large", "c5.large"]}
    with stream(served, "/predictions/live", **asked) as socket:
        for one in news(socket, "predictions", 2):
            assert {row["region"] for row in one["predictions"]} == {"eu-west-1"}
            assert {row["instance_type"] for row in one["predictions"]} == {"m5.large", "c5.large"}


def test_a_quiet_stream_beats_though_others_events_pass(served: Served) -> None:
    """Ticks come every second; a stream that none of them concerns must still be known to be alive."""
    with (
        stream(served, "/predictions/live", region="nowhere-1") as filtered,
        stream(served, "/decisions/live", cluster_id="nobody") as decisions,
    ):
        for socket in (filtered, decisions):
            assert read(socket)["type"] == "hello"
            beats = [read(socket) for _ in range(4)]
            assert {beat["type"] for beat in beats} == {"heartbeat"}
            seqs = [beat["seq"] for beat in beats]
            assert seqs == sorted(seqs)
            assert seqs[-1] > seqs[0], "a heartbeat says how far the reader has come"


def test_who_resumes_sees_each_seq_exactly_once(served: Served) -> None:
    with stream(served, "/predictions/live") as socket:
        seen = [one["seq"] for one in news(socket, "predictions", 2)]
    for _ in range(3):
        with stream(served, "/predictions/live", after=seen[-1]) as socket:
            told = news(socket, "predictions", 2)
        assert told[0]["previous"] == seen[-1]
        seen += [one["seq"] for one in told]
    assert seen == sorted(set(seen))
    with stream(served, "/predictions/live", after=seen[0]) as socket:
        again = [one["seq"] for one in news(socket, "predictions", len(seen) - 1)]
    assert again == seen[1:]


def test_a_heartbeats_seq_is_a_place_to_resume_from(served: Served) -> None:
    with stream(served, "/predictions/live", region="nowhere-1") as socket:
        beat = news(socket, "heartbeat", 1)[0]
    with stream(served, "/predictions/live", after=beat["seq"]) as socket:
        told = news(socket, "predictions", 2)
    assert told[0]["seq"] > beat["seq"]
    assert told[0]["previous"] <= beat["seq"]


def test_what_is_no_longer_kept_is_said_with_a_snapshot(served: Served, admin: httpx.Client) -> None:
    newest = admin.get("/predictions/latest").json()["seq"]
    served.house.store.trim("events", 3)
    # The ring in memory may still have what the store has not: both are right, and neither may skip anything.
    with stream(served, "/predictions/live", after=newest + 10_000) as socket:
        assert read(socket)["type"] == "hello"
        reset = read(socket)
        assert (reset["type"], reset["snapshot"]) == ("reset", "/api/v1/ml/predictions/latest")
        assert newest <= reset["seq"] < newest + 10_000
        told = news(socket, "predictions", 1)[0]
        assert told["seq"] > reset["seq"]
    snapshot = admin.get(served.address + reset["snapshot"]).json()
    assert snapshot["seq"] >= reset["seq"]


@pytest.mark.parametrize("after", ["-1", "soon", "1.5"])
def test_a_place_to_resume_from_that_cannot_be_meant(served: Served, after: str) -> None:
    with stream(served, "/predictions/live", after=after) as socket:
        assert closing(socket) == 4422


def test_decisions_arrive_when_they_are_made(served: Served, admin: httpx.Client) -> None:
    state = sample_clusters(datetime.now(UTC))["nightly-reports"] | {"cluster_id": "streamed"}
    with (
        stream(served, "/decisions/live", cluster_id="streamed") as mine,
        stream(served, "/decisions/live", region="sa-east-1") as others,
    ):
        admin.put("/clusters/streamed", json=state)
        told = news(mine, "decisions", 1)[0]
        assert [one["cluster_id"] for one in told["decisions"]] == ["streamed"]
        assert told["made_by"]["engine_id"] == "spot_optimizer_v1"
        assert news(others, "heartbeat", 1)
    admin.delete("/clusters/streamed")


def test_a_stream_ends_with_its_key(served: Served, admin: httpx.Client) -> None:
    key = admin.post("/keys", json={"name": "for a stream", "role": "viewer"}).json()
    with stream(served, "/predictions/live", token=key["token"]) as socket:
        news(socket, "predictions", 1)
        admin.delete(f"/keys/{key['key_id']}")
        assert closing(socket) == 4401


def test_a_page_from_elsewhere_cannot_open_a_stream_with_the_cookie(served: Served) -> None:
    with httpx.Client(base_url=served.address, trust_env=False, verify=False) as browser:
        browser.post("/api/v1/ml/auth/session", json={"token": served.tokens["viewer"]})
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    url = served.socket_url("/predictions/live")
    for origin, code in ((served.address, None), ("https://evil.example", 4401)):
        with connect(url, additional_headers={"Cookie": cookie, "Origin": origin}, proxy=None) as socket:
            if code is None:
                assert read(socket)["type"] == "hello"
            else:
                assert closing(socket) == code


def test_readers_are_counted_and_forgotten(world: World) -> None:
    feed = world.served.house.feed
    until(lambda: feed.readers == 0, 15)
    with stream(world.served, "/predictions/live"), stream(world.served, "/decisions/live"):
        until(lambda: feed.readers == 2, 5)
    until(lambda: feed.readers == 0, 5)
