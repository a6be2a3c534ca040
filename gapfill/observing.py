"""What the gap filler tells whoever counts: shards, predictions, jobs that ended."""

from typing import Protocol

from gapfill.jobs import Job, Shard


class FillObserver(Protocol):
    """Called from several threads; must return quickly and raise nothing."""

    def shard_ended(self, shard: Shard, seconds: float) -> None:
        """A shard is done or has failed, after `seconds` of work on it."""
        ...

    def predictions_made(self, model_id: str, count: int) -> None:
        """Gap predictions were stored."""
        ...

    def prices_ingested(self, stored: int, present: int, refused: int) -> None:
        """Live or imported prices went into the history."""
        ...

    def job_ended(self, job: Job) -> None:
        """A fill has completed, failed or been cancelled."""
        ...


class NoObserver:
    """A `FillObserver` that looks away."""

    def shard_ended(self, shard: Shard, seconds: float) -> None:
        """Nothing."""

    def predictions_made(self, model_id: str, count: int) -> None:
        """Nothing."""

    def prices_ingested(self, stored: int, present: int, refused: int) -> None:
        """Nothing."""

    def job_ended(self, job: Job) -> None:
        """Nothing."""
