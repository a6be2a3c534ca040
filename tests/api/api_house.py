"""A served house with some of its parts exchanged for a while, such as a stricter limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from services.api.house import House
from tests.api.api_server import Served


@contextmanager
def changed_house(served: Served, **parts: Any) -> Iterator[House]:
    """While the block runs, requests meet a house with other `parts` (fields of `House`)."""
    usual = served.house
    served.app.state.house = replace(usual, **parts)
    try:
        yield served.app.state.house
    finally:
        served.app.state.house = usual
