"""EventBridge's events as they are: spot interruption warnings, and the experiments by which AWS FIS injects them.

AWS marks a warning that FIS caused in no way: it is the same event from the same source (`aws.ec2`), or it would be no
test. What tells is the experiment: FIS sends `FIS Experiment State Change` events (source `aws.fis`), and with these
posted to the same place, warnings of the same account and region while an experiment runs count as injected. A sender
that knows better says `?injected=true`, and so does the source `aws.fis` on a warning that a relay has renamed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gapfill.pools import LINUX, Pool

WARNING = "EC2 Spot Instance Interruption Warning"
EXPERIMENT = "FIS Experiment State Change"
FIS = "aws.fis"
# FIS's state names; a warning may follow the order by some minutes, and events arrive in any order.
RUNNING = frozenset({"initiating", "running", "stopping"})
AFTER_EXPERIMENT = timedelta(minutes=5)
LONGEST_EXPERIMENT = timedelta(hours=12)

Text = Field(min_length=1, max_length=200)


class Detail(BaseModel):
    """What a warning says of its instance; type, zone and product are not AWS's, but a rule may add them."""

    model_config = ConfigDict(extra="ignore")

    instance_id: str = Field(alias="instance-id", min_length=1, max_length=200)
    instance_action: str = Field("terminate", alias="instance-action", max_length=50)
    instance_type: str | None = Field(None, alias="instance-type", max_length=100)
    availability_zone: str | None = Field(None, alias="availability-zone", max_length=100)
    product_description: str = Field(LINUX, alias="product-description", max_length=100)


class EventBridgeEvent(BaseModel):
    """The envelope of an event; what else it has is let through unread."""

    model_config = ConfigDict(extra="ignore")

    id: str = Text
    detail_type: str = Field(alias="detail-type", min_length=1, max_length=200)
    source: str = Text
    time: AwareDatetime = Field(ge=datetime(2009, 12, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))
    account: str = Field("", max_length=40)
    region: str = Field(min_length=1, max_length=60)
    detail: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Warned:
    """One warning; `pool_id` is "" unless the event itself tells it."""

    event_id: str
    at: datetime
    account: str
    region: str
    instance_id: str
    action: str
    pool_id: str
    injected: bool


@dataclass(frozen=True, slots=True)
class ExperimentTurn:
    """A FIS experiment began to run, or has ended, at `at`."""

    event_id: str
    at: datetime
    account: str
    region: str
    experiment_id: str
    runs: bool


def read_event(event: EventBridgeEvent, *, injected: bool = False) -> Warned | ExperimentTurn | None:
    """What an event tells; None for one of another kind. Raises `ValidationError` for a warning without an instance."""
    if event.detail_type == EXPERIMENT:
        status = str((event.detail.get("new-state") or {}).get("status", ""))
        experiment_id = str(event.detail.get("experiment-id", ""))[:100]
        return ExperimentTurn(event.id, event.time, event.account, event.region, experiment_id, status in RUNNING)
    if event.detail_type != WARNING:
        return None
    detail = Detail.model_validate(event.detail)
    pool = ""
    if detail.instance_type and detail.availability_zone:
        pool = Pool(event.region, detail.availability_zone, detail.instance_type, detail.product_description).pool_id
    return Warned(
        event.id,
        event.time,
        event.account,
        event.region,
        detail.instance_id,
        detail.instance_action,
        pool,
        injected or event.source == FIS,
    )


def is_under_test(warned: Warned, turns: Sequence[ExperimentTurn]) -> bool:
    """Whether a FIS experiment of the account ran in the region when the warning came, as far as its events say."""
    mine = sorted(
        (turn for turn in turns if (turn.account, turn.region) == (warned.account, warned.region)),
        key=lambda turn: (turn.experiment_id, turn.at),
    )
    for place, turn in enumerate(mine):
        if not turn.runs:
            continue
        later = mine[place + 1] if place + 1 < len(mine) else None
        ended = later is not None and later.experiment_id == turn.experiment_id
        until = later.at + AFTER_EXPERIMENT if ended and later is not None else turn.at + LONGEST_EXPERIMENT
        if turn.at <= warned.at <= until:
            return True
    return False
