"""Changes of experiments as events of the live log.

Not the loop but whoever made a change tells it, once the store has it: the event is the news, the document the truth.
"""

from datetime import UTC, datetime

import polars as pl
import structlog

from services.errors import StoreUnavailable
from services.live.events import LOG, encode
from services.live.experiments.experiment import Experiment
from services.store.protocol import Store

_log = structlog.get_logger(__name__)


def tell(store: Store, market_id: str, experiment: Experiment) -> None:
    """One event with the experiment as it is now; a store that does not answer keeps nobody from the change."""
    now = datetime.now(UTC)
    try:
        last = store.latest(LOG, "experiments")
        header = {"as_of": now.isoformat().replace("+00:00", "Z")}
        rows = pl.DataFrame({"experiment": [experiment.model_dump_json(exclude={"runs"})]})
        store.append(LOG, "experiments", now, encode(market_id, last.seq if last else 0, header, rows))
    except StoreUnavailable as error:
        _log.warning("experiment_not_told", experiment_id=experiment.experiment_id, detail=error.detail)
