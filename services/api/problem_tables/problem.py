"""What an error looks like from outside: status, stable `type`, close code and words.

A problem says what was wrong (`detail`), where (`field`, or the instance) and what to do (`advice`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error looks like from outside; `words` gives (detail, advice, further members)."""

    status: int
    slug: str
    title: str
    words: Callable[[Any], tuple[str, str, dict[str, Any]]]

    @property
    def close_code(self) -> int:
        """The WebSocket close code: 4000 + status, as is usual for application codes."""
        return 4000 + self.status


def near(nearest: tuple[str, ...]) -> str:
    return f"Did you mean {', '.join(nearest)}?" if nearest else ""


Table = dict[type[Exception], Problem]
