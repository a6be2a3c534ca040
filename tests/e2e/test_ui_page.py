"""The page in a real browser: a person's way from the sign-in link to a live chart and a decision.

Screenshots of its stations are kept in artifacts/ui.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import (
    Page,
    WebSocketRoute,
    expect,
)

from tests.e2e.browser import Watch, shoot
from tests.e2e.page_runs import ADMIN_TOKEN, Running, everything
from tests.e2e.page_steps import (
    apply_an_engine,
    fill,
    go,
    metadata,
    see_a_decision,
    see_a_refusal,
    see_live_points,
    sign_in,
    swap_look_and_roll_back,
    upload_and_activate,
    upload_and_try_an_engine,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with everything(tmp_path_factory.mktemp("page")) as found:
        yield found


@pytest.mark.timeout(240)
def test_a_person_goes_from_the_link_to_a_live_chart(page: Page, running: Running, tmp_path: Path) -> None:
    watch = Watch(running.address)
    watch.follow(page)

    sign_in(page, running)
    shoot(page, "1-signed-in")
    for task in ("interruption", "price"):
        upload_and_activate(page, running, task, metadata(running, task, tmp_path))
    fill(page, running)
    go(page, "Models")
    swap_look_and_roll_back(page, running, metadata(running, "price", tmp_path))
    see_live_points(page, running)
    see_a_decision(page, running)
    shoot(page, "3-live")
    page.get_by_role("button", name="Use dark colours").click()
    page.reload()
    expect(page.locator("#co-chart .main-svg").first).to_be_visible()
    page.wait_for_function("document.querySelector('#co-chart').layout?.yaxis.range[1] > 0.0777")  # drawn, in full
    shoot(page, "4-live-dark")
    apply_an_engine(page)
    shoot(page, "5-engines-dark")
    page.get_by_role("button", name="Use light colours").click()
    page.go_back()
    expect(page.locator("#co-chart")).to_be_visible()
    assert {urlsplit(url).path for url in watch.sockets} == {
        "/api/v1/ml/predictions/live",
        "/api/v1/ml/decisions/live",
    }
    assert watch.faults == []

    upload_and_try_an_engine(page, tmp_path)
    see_a_refusal(page, running, tmp_path)
    shoot(page, "6-refused")
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#co-token")).to_be_visible()
    expect(page.get_by_text("SIMULATED MARKET", exact=True)).to_be_visible()


@dataclass
class Wire:
    """Stands between the page and the predictions stream, so that the line can be cut."""

    routes: list[WebSocketRoute] = field(default_factory=list)
    servers: list[WebSocketRoute] = field(default_factory=list)
    events: list[dict[str, int]] = field(default_factory=list)
    cuts: int = 0

    def join(self, route: WebSocketRoute) -> None:
        """Pass everything on and remember the events."""
        self.routes.append(route)
        number = len(self.routes)
        server = route.connect_to_server()
        self.servers.append(server)

        def pass_on(text: str | bytes) -> None:
            if number <= self.cuts:
                return
            message = json.loads(text)
            if message["type"] == "predictions":
                self.events.append({name: message[name] for name in ("seq", "previous")})
            route.send(text)

        server.on_message(pass_on)

    def cut(self) -> int:
        """End the newest line, on both sides; the seq of the last event that went through."""
        self.cuts = len(self.routes)
        newest = self.events[-1]["seq"]
        self.servers[-1].close()
        self.routes[-1].close(code=1012, reason="the line is cut")
        return newest


@pytest.mark.timeout(240)
def test_a_stream_that_breaks_goes_on_where_it_stopped(page: Page, running: Running) -> None:
    wire = Wire()
    page.route_web_socket("**/predictions/live*", wire.join)
    page.goto(f"{running.address}/ui")
    page.get_by_label("Token").fill(ADMIN_TOKEN)
    page.get_by_role("button", name="Sign in").click()
    updates = "Number(document.querySelector('#co-chart').dataset.live)"
    page.wait_for_function(f"{updates} >= 1")
    shown = int(page.evaluate(updates))
    newest = wire.cut()
    expect(page.locator("#co-feed")).to_have_text("reconnecting")
    expect(page.locator("#co-feed")).to_have_text("live")
    page.wait_for_function(f"{updates} >= {shown + 2}")
    assert parse_qs(urlsplit(wire.routes[1].url).query)["after"] == [str(newest)]
    told = [event["seq"] for event in wire.events]
    assert [event["previous"] for event in wire.events[1:]] == told[:-1], "every event once, none left out"
