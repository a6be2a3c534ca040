"""How the suite is dealt out to processes that run side by side: whoever shares a server stays together."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole servers first, as they take longest; then what shares one process's application, then the rest by file."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _room(item) not in ("e2e", "cluster"))


def _group(item: pytest.Item) -> str:
    if _room(item) == "api":
        return "api"
    if _room(item) == "e2e" and "server" in getattr(item, "fixturenames", ()):
        return "server"
    return str(item.path)


def _room(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT).parts[0]
