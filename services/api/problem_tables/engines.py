"""Problems of decision engines."""

import engines.errors as engine_errors
from services.api.problem_tables.problem import Problem, Table, near

TABLE: Table = {
    engine_errors.EngineNotFound: Problem(
        404,
        "engine-not-found",
        "No such engine",
        lambda e: (
            f"There is no engine {e.engine_id!r}.",
            near(e.nearest) or "GET engines/list shows those there are.",
            {"engine_id": e.engine_id, "nearest": list(e.nearest)},
        ),
    ),
    engine_errors.EngineExists: Problem(
        409,
        "engine-exists",
        "The name and version are taken",
        lambda e: (
            f"{e.engine_id} is there already.",
            "Upload it under another version: versions are never overwritten.",
            {"engine_id": e.engine_id},
        ),
    ),
    engine_errors.EngineInUse: Problem(
        409,
        "engine-in-use",
        "The engine cannot be deleted",
        lambda e: (f"{e.engine_id}: {e.use}.", "Select another engine first.", {"engine_id": e.engine_id}),
    ),
    engine_errors.EngineModelsMissing: Problem(
        409,
        "engine-models-missing",
        "Models that the engine names are not there",
        lambda e: (
            f"{e.engine_id} names {', '.join(e.models)}.",
            "Upload these versions; a task needs an active model.",
            {"engine_id": e.engine_id, "models": list(e.models)},
        ),
    ),
    engine_errors.EngineRefused: Problem(
        422,
        "engine-refused",
        "The file is not an engine that is let in",
        lambda e: (
            str(e)[:1000],
            "Mend it; `cloudoptim engine check FILE` says the same on your machine.",
            {"stage": e.stage, "errors": [{"line": line, "detail": what} for line, what in e.problems]},
        ),
    ),
    engine_errors.EngineConfigInvalid: Problem(
        422,
        "engine-config-invalid",
        "The config does not fit the engine",
        lambda e: (
            str(e),
            f"GET engines/{e.engine_id}/metadata has the config's schema.",
            {"errors": [{"field": path, "detail": what} for path, what in e.problems]},
        ),
    ),
    engine_errors.EngineFailed: Problem(
        502,
        "engine-failed",
        "The engine did not decide",
        lambda e: (
            f"{e.engine_id}: {e.detail}",
            "Select another engine, or mend and upload this one.",
            {"engine_id": e.engine_id, "kind": e.kind},
        ),
    ),
    engine_errors.SelectionStale: Problem(
        409,
        "changed-meanwhile",
        "Somebody else changed it first",
        lambda e: ("Another engine was selected meanwhile.", "Read the list again and repeat.", {}),
    ),
    engine_errors.EngineNotSelected: Problem(
        409,
        "no-engine-selected",
        "No engine is selected",
        lambda e: ("Nothing can decide yet.", "Select an engine with POST engines/select.", {}),
    ),
}
