"""How the suite is dealt out to processes that run side by side: whoever shares a server stays together.

pytest-xdist's own `loadgroup` does nothing under pytest 9.2, which no longer lets a plugin write into node ids.
"""

from pathlib import Path, PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parent
# End-to-end tests that start servers of their own; all others share the one of tests/e2e/conftest.py.
OF_THEIR_OWN = ("test_bento_build.py", "test_block_of_settings.py", "test_ui_page.py")


class ByServer(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Deals out whole groups, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group(PurePosixPath(nodeid.partition("::")[0]))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServer:
    """Called where `-n` asks for processes."""
    config.option.loadscopereorder = False
    return ByServer(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole servers first, as they take longest; then what shares one process's application, then the rest by file."""
    items.sort(key=lambda item: _rank(PurePosixPath(item.path.relative_to(ROOT.parent).as_posix())))


def group(path: PurePosixPath) -> str:
    """What shares its fixtures with whom: `path` is relative to the project."""
    room = path.parts[1]
    if room == "api" or (room == "e2e" and path.name not in OF_THEIR_OWN):
        return room
    return str(path)


def _rank(path: PurePosixPath) -> int:
    return {"e2e": 0 if group(path) == "e2e" else 1, "cluster": 1, "api": 2}.get(path.parts[1], 3)
