"""The two named actors, shells around the workers: `GapFiller` and `LiveLoop`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import ray
from prometheus_client.core import Metric

from gapfill.filler import Watched
from gapfill.jobs import Job
from gapfill.plan import Analysis
from gapfill.requests import FillRequest
from services.composition.in_process import import_file, places
from services.composition.parts import open_parts, open_source
from services.composition.workers import open_filler, open_loop
from services.deployments.process import begin
from services.live.board import FeatureBlock
from services.settings import Settings

NAMESPACE = "cloudoptim"
GAP_FILLER = "GapFiller"
LIVE_LOOP = "LiveLoop"
OPTIONS: dict[str, Any] = {
    "namespace": NAMESPACE,
    "lifetime": "detached",
    "get_if_exists": True,
    "max_restarts": -1,
    "num_cpus": 0,
}


class GapFillerActor:
    """The only writer of price history."""

    def __init__(self, settings: Settings, release: str) -> None:
        begin("gap_filler", settings)
        self._release = release
        self._parts = open_parts(settings)
        self._source = open_source(settings, self._parts.store)
        self._filler, self._worker = open_filler(self._parts)
        self._worker.start()

    def release(self) -> str:
        """Which release this actor runs."""
        return self._release

    def analyze(self, request: FillRequest) -> Analysis:
        """See `GapDesk`."""
        return self._filler.analyze(request)

    def submit(self, request: FillRequest, requested_by: str) -> Job:
        """See `GapDesk`."""
        return self._filler.submit(request, requested_by)

    def cancel(self, task_id: str) -> Job:
        """See `GapDesk`."""
        return self._filler.cancel(task_id)

    def retry(self, task_id: str) -> Job:
        """See `GapDesk`."""
        return self._filler.retry(task_id)

    def ensure_filled(self) -> Job | None:
        """See `GapDesk`."""
        return self._filler.ensure_filled()

    def import_file(self, path: str, label: str) -> dict[str, int]:
        """See `GapDesk`."""
        return import_file(self._filler, self._source, Path(path), label)

    def places(self) -> dict[str, list[str]]:
        """See `GapDesk`."""
        return places(self._source)

    def ingest(self, points: pl.DataFrame, watched: Sequence[Watched]) -> None:
        """Live prices from the loop."""
        self._filler.ingest(points, watched)

    def check(self) -> bool:
        """Raises `Unavailable` when the worker has ended by itself."""
        self._worker.check()
        return True

    def families(self) -> list[Metric]:
        """What it has counted."""
        return list(self._parts.metrics.registry.collect())

    def stop(self) -> None:
        """End in order: what is under way is taken up again at the next start."""
        self._worker.stop()
        self._parts.close()


class LiveLoopActor:
    """The only producer of ticks."""

    def __init__(self, settings: Settings, release: str) -> None:
        begin("live_loop", settings)
        self._release = release
        self._parts = open_parts(settings)
        self._loop, self._worker = open_loop(self._parts, _ingest)
        self._worker.start()

    def release(self) -> str:
        """Which release this actor runs."""
        return self._release

    def block_after(self, seq: int, patience_s: float) -> FeatureBlock | None:
        """The newest feature block above `seq`, waiting for it; Ray's object store carries its arrays."""
        return self._loop.wait_block(seq, patience_s)

    def check(self) -> bool:
        """Raises `Unavailable` when the worker has ended by itself."""
        self._worker.check()
        return True

    def families(self) -> list[Metric]:
        """What it has counted."""
        return list(self._parts.metrics.registry.collect())

    def stop(self) -> None:
        """End in order: the last prices and predictions are handed over."""
        self._worker.stop()
        self._parts.close()


def _ingest(points: pl.DataFrame, watched: Sequence[Watched]) -> None:
    """To the gap filler, wherever it runs; raises while it is away, and the loop keeps the prices."""
    filler = ray.get_actor(GAP_FILLER, namespace=NAMESPACE)
    ray.get(filler.ingest.remote(points, watched), timeout=30)


# A wait for a feature block holds a thread; the others must still get through.
REMOTE_CLASSES = {
    GAP_FILLER: ray.remote(max_concurrency=16)(GapFillerActor),
    LIVE_LOOP: ray.remote(max_concurrency=64)(LiveLoopActor),
}
