"""Scored rows: predictions of any origin beside what became of them, as one frame."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import polars as pl

from gapfill.frames import OUTCOMES, PRICES, SERVED
from gapfill.history import History
from gapfill.scope import Scope, with_places
from services.live.ledger.exposure import spans
from services.live.ledger.settling import AWAITING, KEY, UNKNOWN, settle

ORIGINS = ("gap", "live", "served")
# A model's horizon is at most 168 h: of a window of targets, predictions are at most so much older.
LONGEST_HORIZON = timedelta(hours=168)
# Of pools whose backtest is looked up at a time: bounds the memory.
POOLS_PER_STEP = 2000

SCORED = pl.Schema(
    {
        "model_id": pl.String(),
        "task": pl.String(),
        "experiment": pl.String(),  # "" outside experiments
        "arm": pl.String(),
        "origin": pl.String(),  # gap, live, served
        "region": pl.String(),
        "instance_type": pl.String(),
        "pool_id": pl.String(),
        "as_of": SERVED["as_of"],
        "target_at": SERVED["as_of"],
        "value": pl.Float64(),
        "count": pl.Int64(),  # identical answers
        "status": pl.String(),  # observed, unknown, awaiting_actuals
        "outcome": pl.Float64(),  # null unless observed
        "naive": pl.Float64(),  # prices: the last value; interruptions: the base rate of the rows returned
        "counts": pl.Boolean(),  # whether a figure may use the row; only observed rows do
    }
)


def scored_rows(
    history: History,
    start: datetime,
    end: datetime,
    now: datetime,
    *,
    scope: Scope | None = None,
    model_id: str | None = None,
    experiment: str | None = None,
    arm: str | None = None,
    origins: Sequence[str] = ORIGINS,
    task: str | None = None,
    confirmed: Mapping[str, datetime] | None = None,
) -> pl.DataFrame:
    """Predictions due in [start, end), and those made in it that are not due yet, as `SCORED`.

    Filters that are None let everything through; `experiment=""` is what belongs to none. A row is `awaiting_actuals`
    until its outcome is in the ledger, which the live loop sees to within minutes after `target_at`; a backtest's
    outcome is looked up here (`confirmed` as for `exposure.spans`; None: of no cluster that still stands).
    """
    places = scope or Scope()
    due = pl.col("target_at").is_between(start, end, closed="left") & (pl.col("target_at") <= now)
    ahead = pl.col("as_of").is_between(start, end, closed="left") & (pl.col("target_at") > now)
    near = pl.col("as_of") >= start - LONGEST_HORIZON
    wanted = (near & (due | ahead), *_filters(model_id, experiment, arm, origins, task))
    rows = history.scan_predictions(places).filter(*wanted).collect()
    if rows.is_empty():
        return pl.DataFrame(schema=SCORED)
    known = history.ledger.outcomes(places, start=start, until=min(end, now))
    if (backtest := rows.filter(pl.col("origin") == "gap", pl.col("target_at") <= now)).height:
        found = looked_up(history, backtest.select(KEY).unique(), now, confirmed or {})
        known = pl.concat([known, found.join(known, on=KEY, how="anti")])
    return _joined(rows, known, now)


def looked_up(
    history: History, predictions: pl.DataFrame, now: datetime, confirmed: Mapping[str, datetime]
) -> pl.DataFrame:
    """What the history says now of predictions (columns `settling.KEY`), as `frames.OUTCOMES`; some pools at a time."""
    interruptions = history.ledger.interruptions()
    held = spans(history.ledger.exposures(), interruptions, confirmed, now)
    pools = predictions["pool_id"].unique().sort()
    found = [pl.DataFrame(schema=OUTCOMES)]
    for at in range(0, len(pools), POOLS_PER_STEP):
        some = pools[at : at + POOLS_PER_STEP]
        mine = predictions.filter(pl.col("pool_id").is_in(some.implode()))
        priced = mine.filter(pl.col("task") == "spot_price")
        first, last = priced["as_of"].min(), priced["target_at"].max()
        points = (
            history.prices(Scope.of_pools(priced["pool_id"].unique()), first, last + timedelta(microseconds=1))
            if isinstance(first, datetime) and isinstance(last, datetime)
            else pl.DataFrame(schema=PRICES)
        )
        found.append(settle(mine, points, interruptions, held, now))
    return pl.concat(found)


def _filters(
    model_id: str | None, experiment: str | None, arm: str | None, origins: Sequence[str], task: str | None
) -> list[pl.Expr]:
    exact = {"model_id": model_id, "experiment": experiment, "arm": arm, "task": task}
    return [pl.col("origin").is_in(list(origins)), *(pl.col(n) == v for n, v in exact.items() if v is not None)]


def _joined(rows: pl.DataFrame, known: pl.DataFrame, now: datetime) -> pl.DataFrame:
    joined = with_places(rows).join(known, on=KEY, how="left")
    status = pl.when(pl.col("target_at") > now).then(pl.lit(AWAITING)).otherwise(pl.col("status").fill_null(AWAITING))
    told = joined.with_columns(status.alias("status"))
    hidden = pl.col("status").is_in([AWAITING, UNKNOWN])
    counts = ~hidden & ~pl.col("what_if") & pl.col("counts").fill_null(value=False)
    told = told.with_columns(
        pl.when(~hidden).then(pl.col("actual")).alias("outcome"),
        counts.alias("counts"),
    )
    struck = pl.col("task") == "spot_interruption"
    rate = base_rate(told.filter(struck))
    naive = pl.when(struck).then(pl.lit(rate, dtype=pl.Float64)).otherwise(pl.col("naive"))
    return told.with_columns(naive.alias("naive")).select(*SCORED).sort("as_of", "pool_id", "model_id", "origin", "arm")


def base_rate(rows: pl.DataFrame) -> float | None:
    """How often the answers of scored rows were followed by an interruption; None where no row counts."""
    known = rows.filter("counts")
    answers = int(known["count"].sum())
    return float((known["outcome"] * known["count"]).sum()) / answers if answers else None
