"""One server on the simulated market, started by the real command, for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.running_server import RunningServer, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A first start on a simulated market, set up by itself."""
    with running(tmp_path_factory.mktemp("e2e") / "data", {}, "--market", "simulate") as started:
        yield started
