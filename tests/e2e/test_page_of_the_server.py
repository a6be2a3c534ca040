"""The page as the real command serves it: signed in with the admin token, it shows the market live."""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import Watch, shoot
from tests.running_server import RunningServer

# Whole servers start and stop here, on whatever machine this is.
pytestmark = pytest.mark.timeout(600)


def test_the_page_is_live(server: RunningServer, page: Page) -> None:
    watch = Watch(server.url)
    watch.follow(page)
    page.goto(f"{server.url}/ui")
    page.get_by_label("Token").fill(server.token)
    # Before signing in the page has asked who it is, and was told that nobody is.
    watch.faults.clear()
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#co-who")).to_contain_text("(admin)")
    expect(page.get_by_text("SIMULATED MARKET", exact=True)).to_be_visible()
    expect(page.locator("#co-model-spot_interruption")).to_contain_text("spot-interruption:v1")
    expect(page.get_by_text("shop-frontend").first).to_be_visible()
    page.wait_for_function("Number(document.querySelector('#co-chart').dataset.live) >= 2")
    shoot(page, "7-of-the-server")
    assert watch.faults == []
    assert any("/predictions/live" in url for url in watch.sockets)
