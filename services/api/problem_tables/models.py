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
}
