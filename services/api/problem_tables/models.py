"""Problems of models and of what is predicted with them."""

from services import errors
from services.api.problem_tables.problem import Problem, Table, near

TABLE: Table = {
    errors.ModelNotFound: Problem(
        404,
        "model-not-found",
        "No such model version",
        lambda e: (
            f"There is no model version {e.model_id!r}.",
            near(e.nearest) or "GET models/list shows those there are.",
            {"model_id": e.model_id, "nearest": list(e.nearest)},
        ),
    ),
    errors.ModelExists: Problem(
        409,
        "model-exists",
        "The model version exists",
        lambda e: (
            f"{e.model_id} was uploaded before; versions are never overwritten.",
            "Upload it under another version.",
            {"model_id": e.model_id},
        ),
    ),
    errors.ModelInUse: Problem(
        409,
        "model-in-use",
        "The model version is in use",
        lambda e: (
            f"{e.model_id} is {e.used_as}.",
            "Activate another version of its task first.",
            {"model_id": e.model_id},
        ),
    ),
    errors.ModelRefused: Problem(
        422,
        "model-refused",
        "The file is not a model that is let in",
        lambda e: (e.detail, e.advice, {"field": "file", "code": e.code}),
    ),
    errors.NoActiveModel: Problem(
        409,
        "no-active-model",
        "No model is active",
        lambda e: (
            f"No model version is active for the task {e.task}.",
            "Upload one (POST models/upload) and activate it (POST models/activate).",
            {"task": e.task},
        ),
    ),
    errors.ModelTimedOut: Problem(
        503,
        "model-timed-out",
        "The model did not answer in time",
        lambda e: (
            f"{e.model_id} did not answer within {e.seconds:g} s, and its process was ended.",
            "Try again shortly; a model that is always this slow is better replaced (MODEL_SCORE_TIMEOUT_SECONDS).",
            {"model_id": e.model_id, "seconds": e.seconds},
        ),
    ),
    errors.ModelCrashed: Problem(
        502,
        "model-crashed",
        "The model broke down",
        lambda e: (
            f"The process of {e.model_id} broke down while it was asked: {e.how}.",
            "Try again shortly, or activate another version (POST models/rollback).",
            {"model_id": e.model_id},
        ),
    ),
    errors.ModelResting: Problem(
        503,
        "model-resting",
        "The model is started again in a while",
        lambda e: (
            f"{e.model_id} broke down, {e.crashes} times in a row, and is started again in {e.seconds:.1f} s.",
            "Try again then, or activate another version (POST models/rollback).",
            {"model_id": e.model_id, "crashes": e.crashes, "retry_after_s": e.seconds},
        ),
    ),
    errors.ModelQuarantined: Problem(
        503,
        "model-quarantined",
        "The model is in quarantine",
        lambda e: (
            f"{e.model_id} broke down {e.crashes} times in a row and is not started again by itself.",
            "Activate another version (POST models/rollback); activating this one again gives it another try.",
            {"model_id": e.model_id, "crashes": e.crashes},
        ),
    ),
    errors.ModelBusy: Problem(
        503,
        "model-busy",
        "Too many wait for the model",
        lambda e: (
            f"{e.waiting} requests wait for {e.model_id} already.",
            "Ask again shortly, with fewer requests at once.",
            {"model_id": e.model_id},
        ),
    ),
}
