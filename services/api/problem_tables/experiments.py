"""Problems of experiments."""

from services.api.problem_tables.problem import Problem, Table
from services.live.experiments import errors

TABLE: Table = {
    errors.ExperimentNotFound: Problem(
        404,
        "experiment-not-found",
        "No such experiment",
        lambda e: (
            f"No experiment {e.experiment_id!r} is kept.",
            "GET experiments lists them.",
            {"experiment_id": e.experiment_id},
        ),
    ),
    errors.ExperimentInvalid: Problem(
        422,
        "invalid-value",
        "A value cannot be meant",
        lambda e: (f"{e.field}: {e.detail}.", e.advice, {"field": e.field}),
    ),
    errors.ExperimentRunning: Problem(
        409,
        "experiment-running",
        "The task has a running experiment",
        lambda e: (
            f"{e.experiment_id} runs for {e.task}; a task has one at a time.",
            "Promote or abort it first.",
            {"task": e.task, "experiment_id": e.experiment_id},
        ),
    ),
    errors.ExperimentEnded: Problem(
        409,
        "experiment-ended",
        "The experiment has ended",
        lambda e: (
            f"{e.experiment_id} has ended: {e.status}.",
            "Start another one with POST experiments.",
            {"experiment_id": e.experiment_id, "ended_as": e.status},
        ),
    ),
}
