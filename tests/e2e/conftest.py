"""For all tests of this folder: one server that the real command started, and a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.e2e.browser import browser_page
from tests.running_server import RunningServer, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A first start on a simulated market, set up by itself."""
    with running(tmp_path_factory.mktemp("e2e") / "data", {}, "--market", "simulate") as started:
        yield started


@pytest.fixture
def page() -> Iterator[Page]:
    """A fresh browser."""
    with browser_page() as opened:
        yield opened
