"""Errors of a replay, one tree.

ReplayError
├── AdvisorInvalid   a feed is no Spot Instance Advisor feed
├── TraceInvalid     a file is no availability trace
└── WindowEmpty      there is nothing to replay in the window that was asked for
"""


class ReplayError(Exception):
    """Whatever keeps a replay from running."""


class AdvisorInvalid(ReplayError):
    """`reason` says what the feed lacks."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TraceInvalid(ReplayError):
    """`name` is the file or folder, `reason` what is wrong with it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason


class WindowEmpty(ReplayError):
    """`reason` says what was looked for and not found."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
