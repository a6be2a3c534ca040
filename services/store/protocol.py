"""The contract of the store; shapes, units and errors are documented here and only here.

Three small things: documents with compare-and-set, logs, and leases with fencing. Every method may block for some
milliseconds and is safe to call from several threads; several processes may share one store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object under (kind, key); `revision` starts at 1 and grows by one with each write."""

    kind: str
    key: str
    value: dict[str, Any]
    revision: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log; `seq` starts at 1, has no gaps at writing, and survives restarts and trimming."""

    seq: int
    kind: str
    at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write under `name`; each acquisition by anyone has a higher `generation`."""

    name: str
    holder: str
    generation: int


class Store(Protocol):
    """Documents, logs and leases.

    A write with a `fence` raises `LeaseLost` when that lease's name has passed to a later generation.
    `StoreUnavailable` is raised by any method when the server behind the store does not answer.
    """

    # Documents

    def get(self, kind: str, key: str) -> Document | None:
        """The document, or None."""
        ...

    def find(self, kind: str, *, prefix: str = "", limit: int = 1000, newest_first: bool = False) -> list[Document]:
        """Documents whose key starts with `prefix`, by key ascending (descending with `newest_first`)."""
        ...

    def put(
        self,
        kind: str,
        key: str,
        value: Mapping[str, Any],
        *,
        expected: int | None = None,
        fence: Lease | None = None,
    ) -> int:
        """Write and return the new revision.

        `expected` is the revision that must be there (0: none); another one raises `RevisionConflict`.
        """
        ...

    def delete(self, kind: str, key: str, *, expected: int | None = None, fence: Lease | None = None) -> bool:
        """Remove; whether there was one. `expected` as for `put`."""
        ...

    def next_number(self, name: str) -> int:
        """1, 2, 3, …: never the same twice for a name."""
        ...

    # Logs

    def append(self, log: str, kind: str, at: datetime, body: bytes, *, fence: Lease | None = None) -> Entry:
        """Add an entry at the end."""
        ...

    def read(self, log: str, *, after: int = 0, kinds: Sequence[str] = (), limit: int = 1000) -> list[Entry]:
        """Entries with seq > `after`, ascending; only those of `kinds` where given."""
        ...

    def latest(self, log: str, kind: str) -> Entry | None:
        """The newest kept entry of a kind."""
        ...

    def span(self, log: str) -> tuple[int, int]:
        """(seq of the oldest kept entry, seq of the newest ever); (1, 0) for a log never written to.

        After everything was trimmed the oldest is the newest + 1.
        """
        ...

    def trim(self, log: str, keep: int) -> int:
        """Drop all but the newest `keep` entries; how many went."""
        ...

    def wait(self, log: str, after: int, timeout_s: float) -> bool:
        """Block until the log has an entry with seq > `after`: True, or False after `timeout_s`."""
        ...

    # Leases

    def acquire(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        """Take the lease when it is free or expired; None while another holder has it.

        A holder that asks again while it holds it gets a new generation.
        """
        ...

    def renew(self, lease: Lease, ttl_s: float) -> None:
        """Keep it for another `ttl_s`; raises `LeaseLost` when it has passed on or expired and was taken."""
        ...

    def release(self, lease: Lease) -> None:
        """Give it up; nothing happens when it has passed on."""
        ...

    def generation(self, name: str) -> int:
        """The generation last given out; 0 when none."""
        ...

    def close(self) -> None:
        """Release connections; further calls are errors."""
        ...
