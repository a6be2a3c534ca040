"""What can go wrong in the live room; none of it knows HTTP.

ServerError
├── TensorInvalid                a tensor of the open inference protocol cannot be meant
├── VersionNotActive             a model is asked by its name alone, and none of its versions is active
├── DecisionUnknown              no decision is kept under this number
├── ReissueImpossible            what made a past decision is not there any more
├── ReplayUnknown                no such replay
└── ReplayBusy                   one replay runs already
"""

from services.errors import ServerError


class TensorInvalid(ServerError):
    """The request's `part` (such as `inputs[0]`) cannot be meant; `detail` says why, and what to send."""

    def __init__(self, part: str, detail: str) -> None:
        super().__init__(part, detail)
        self.part = part
        self.detail = detail


class VersionNotActive(ServerError):
    """No version of the model `name` is active; `versions` are there."""

    def __init__(self, name: str, versions: tuple[str, ...]) -> None:
        super().__init__(name, versions)
        self.name = name
        self.versions = versions


class DecisionUnknown(ServerError):
    """No decision is kept under `seq`."""

    def __init__(self, seq: int) -> None:
        super().__init__(seq)
        self.seq = seq


class ReissueImpossible(ServerError):
    """The decision `seq` cannot be made again; `reason` says what is missing."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(seq, reason)
        self.seq = seq
        self.reason = reason


class ReplayUnknown(ServerError):
    """There is no replay `replay_id` of the engine `engine_id`."""

    def __init__(self, engine_id: str, replay_id: str) -> None:
        super().__init__(engine_id, replay_id)
        self.engine_id = engine_id
        self.replay_id = replay_id


class ReplayBusy(ServerError):
    """Another replay runs; one at a time is enough for the machine."""

    def __init__(self, engine_id: str) -> None:
        super().__init__(engine_id)
        self.engine_id = engine_id
