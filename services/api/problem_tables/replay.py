"""Problems of replays, of past decisions made again."""

from services.api.problem_tables.problem import Problem, Table
from services.live.errors import DecisionUnknown, ReissueImpossible, ReplayBusy, ReplayUnknown

TABLE: Table = {
    DecisionUnknown: Problem(
        404,
        "decision-unknown",
        "No such decision",
        lambda e: (
            f"No decision is kept under {e.seq}.",
            "GET decisions/history shows those that are.",
            {"seq": e.seq},
        ),
    ),
    ReissueImpossible: Problem(
        409,
        "reissue-impossible",
        "The decision cannot be made again",
        lambda e: (
            f"{e.reason[:1].upper()}{e.reason[1:]}.",
            "Upload or install the version that decided.",
            {"seq": e.seq},
        ),
    ),
    ReplayUnknown: Problem(
        404,
        "replay-not-found",
        "No such replay",
        lambda e: (
            f"There is no replay {e.replay_id!r} of {e.engine_id}.",
            "POST engines/{engine_id}/replay orders one.",
            {"engine_id": e.engine_id},
        ),
    ),
    ReplayBusy: Problem(
        409,
        "replay-busy",
        "A replay runs already",
        lambda e: (
            f"A replay of {e.engine_id} is running.",
            "Wait for it, or end it with DELETE engines/{engine_id}/replay/{replay_id}.",
            {"engine_id": e.engine_id},
        ),
    ),
}
