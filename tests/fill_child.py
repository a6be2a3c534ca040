"""A gap filler in a process of its own, for tests that kill it: takes up the job in the folder, or orders one."""

import sys
import threading
from datetime import date
from pathlib import Path

from gapfill.aws import AwsPriceSource
from gapfill.filler import GapFiller
from gapfill.history import History
from gapfill.limits import FillLimits
from gapfill.plan import gap_start
from services.store.sqlite import SqliteStore
from tests.fake_predictor import FakePredictor, model


def main(folder: Path, trained_until: date) -> None:
    """Run until no job is left."""
    source = AwsPriceSource()
    history = History(folder / "history", source.market_id)
    store = SqliteStore(folder / "store.sqlite3")
    limits = FillLimits(
        ("eu-west-1", "us-east-1"), ("c5.large", "m5.large"), types_per_shard=1, days_per_shard=2, threads_per_region=1
    )
    filler = GapFiller(source, history, store, FakePredictor(model(gap_start(trained_until))), limits=limits)
    if not filler.history():
        filler.submit()
    while filler.run_next(threading.Event()):
        pass
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), date.fromisoformat(sys.argv[2]))
