"""The shards of a job, pulled from the market into the history: regions side by side, each by a few threads."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime

import polars as pl
import structlog

from gapfill.errors import MarketAccessDenied, MarketError, RegionNotEnabled
from gapfill.frames import PRICES
from gapfill.history import Appended, History
from gapfill.jobs import Shard
from gapfill.limits import FillLimits
from gapfill.prices import PriceSource

_log = structlog.get_logger(__name__)

# No retry helps a region that refuses us: its other shards fail with the same words, unasked.
_HOPELESS = (MarketAccessDenied, RegionNotEnabled)
# After so many failed attempts in a row, each with all of the client's own retries, a region is down.
_REGION_PATIENCE = 12


class Stopped(Exception):
    """A shard was left unfinished because the worker stops or the job was cancelled."""


class Puller:
    """Runs shards. `halted` is asked between pages; `finish` gets each shard that ended, from any thread."""

    def __init__(
        self,
        source: PriceSource,
        history: History,
        limits: FillLimits,
        clock: Callable[[], datetime],
        halted: Callable[[], bool],
        finish: Callable[[Shard, float], None],
    ) -> None:
        self._source = source
        self._history = history
        self._limits = limits
        self._clock = clock
        self._halted = halted
        self._finish = finish

    def run(self, shards: Iterable[Shard]) -> None:
        """Pull the pending shards; returns when each has ended or work is halted.

        Market errors end in the shards. Anything else, a stale writer above all, is raised here.
        """
        regions: dict[str, deque[Shard]] = {}
        for shard in shards:
            if shard.state == "pending":
                regions.setdefault(shard.region, deque()).append(shard)
        if not regions:
            return
        threads = self._limits.threads_per_region
        lines = [_RegionLine(self, queue) for queue in regions.values()]
        with ThreadPoolExecutor(len(lines) * threads, thread_name_prefix="gap-fill") as pool:
            futures: list[Future[None]] = [pool.submit(line.work) for line in lines for _ in range(threads)]
            wait(futures)
        for future in futures:
            future.result()

    def halted(self) -> bool:
        """Whether to leave what is not yet done."""
        return self._halted()

    def pull(self, shard: Shard) -> MarketError | None:
        """Pull one shard into the history and report it, or return why not; it is still pending if there may be more.

        Raises `Stopped` between pages when work is halted.
        """
        began = time.monotonic()
        shard.attempts += 1
        try:
            points, refused = self._points(shard)
        except MarketError as error:
            _log.warning("shard_not_pulled", region=shard.region, shard=shard.number, detail=error.detail)
            if isinstance(error, _HOPELESS) or shard.attempts >= self._limits.attempts_per_shard:
                self.fail(shard, error, time.monotonic() - began)
            return error
        self._store(shard, points, refused)
        self._finish(shard, time.monotonic() - began)
        return None

    def fail(self, shard: Shard, error: MarketError, seconds: float = 0.0) -> None:
        """End a shard with the market's words."""
        shard.state, shard.error = "failed", f"{type(error).__name__}: {error.detail}"
        shard.finished_at = self._clock()
        self._finish(shard, seconds)

    def _points(self, shard: Shard) -> tuple[pl.DataFrame, int]:
        """The shard's points, carry-ins included, and how many records were refused that no other shard counts."""
        pages, refused = [pl.DataFrame(schema=PRICES)], 0
        for page in self._source.spot_pages(shard.region, shard.instance_types, shard.products, shard.start, shard.end):
            if self._halted():
                raise Stopped
            pages.append(page.points)
            refused += sum((shard.first or shard.start <= at) and at < shard.end for at in page.refused)
        return pl.concat(pages).filter(pl.col("at") < shard.end), refused

    def _store(self, shard: Shard, points: pl.DataFrame, refused: int) -> None:
        result: Appended = self._history.append_prices(points)
        counted = points if shard.first else points.filter(pl.col("at") >= shard.start)
        shard.records = counted.select("pool_id", "at").n_unique()
        shard.stored, shard.conflicting = result.stored, result.conflicting
        shard.refused = refused + result.refused
        shard.state, shard.error, shard.finished_at = "done", "", self._clock()


class _RegionLine:
    """The shards of one region, taken by its threads one by one; retried ones go to the end."""

    def __init__(self, puller: Puller, queue: deque[Shard]) -> None:
        self._puller = puller
        self._queue = queue
        self._lock = threading.Lock()
        self._failures_in_a_row = 0

    def work(self) -> None:
        while not self._puller.halted():
            with self._lock:
                if not self._queue:
                    return
                shard = self._queue.popleft()
            try:
                error = self._puller.pull(shard)
            except Stopped:
                return
            with self._lock:
                self._failures_in_a_row = self._failures_in_a_row + 1 if error else 0
                if error and shard.state == "pending":
                    self._queue.append(shard)
                lost = isinstance(error, _HOPELESS) or self._failures_in_a_row >= _REGION_PATIENCE
            if error and lost:
                self._give_up(error)

    def _give_up(self, error: MarketError) -> None:
        with self._lock:
            left = list(self._queue)
            self._queue.clear()
        for shard in left:
            self._puller.fail(shard, error)
