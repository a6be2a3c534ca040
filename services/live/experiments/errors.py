"""What can go wrong with experiments; none of it knows HTTP.

ExperimentError
├── ExperimentNotFound      no such experiment is kept
├── ExperimentInvalid       it cannot be set up, or changed, like this
├── ExperimentRunning       its task has one already
└── ExperimentEnded         it has ended, and ends only once
"""

from services.errors import ServerError


class ExperimentError(ServerError):
    """The root of this tree."""


class ExperimentNotFound(ExperimentError):
    """No experiment `experiment_id` is kept."""

    def __init__(self, experiment_id: str) -> None:
        super().__init__(experiment_id)
        self.experiment_id = experiment_id


class ExperimentInvalid(ExperimentError):
    """The value of `field` cannot be meant; `detail` says what is wrong, `advice` what to send."""

    def __init__(self, field: str, detail: str, advice: str) -> None:
        super().__init__(field, detail, advice)
        self.field = field
        self.detail = detail
        self.advice = advice


class ExperimentRunning(ExperimentError):
    """`task` has the running experiment `experiment_id`."""

    def __init__(self, task: str, experiment_id: str) -> None:
        super().__init__(task, experiment_id)
        self.task = task
        self.experiment_id = experiment_id


class ExperimentEnded(ExperimentError):
    """`experiment_id` has ended: it is `status`."""

    def __init__(self, experiment_id: str, status: str) -> None:
        super().__init__(experiment_id, status)
        self.experiment_id = experiment_id
        self.status = status
