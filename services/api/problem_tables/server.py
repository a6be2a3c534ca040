"""Problems of the server itself: keys, limits, the store, what is not ready."""

from services import errors
from services.api.problem_tables.problem import Problem, Table
from services.live.drift.errors import DriftAlertNotFound
from services.live.errors import TensorInvalid, VersionNotActive

TABLE: Table = {
    errors.Unauthenticated: Problem(
        401,
        "unauthenticated",
        "Credentials are missing or not valid",
        lambda e: (e.detail, "Send Authorization: Bearer <token>; `cloudoptim keys create` makes one.", {}),
    ),
    errors.Forbidden: Problem(
        403,
        "forbidden",
        "The key's role does not reach",
        lambda e: (
            f"This needs the role {e.needed}; the key has {e.role}.",
            f"Use a key with the role {e.needed} or above.",
            {"needed": e.needed},
        ),
    ),
    errors.TooManyRequests: Problem(
        429,
        "too-many-requests",
        "The limit is used up",
        lambda e: (
            "Too many requests.",
            f"Try again in {e.retry_after_s:.0f} s.",
            {"retry_after_s": round(e.retry_after_s, 1)},
        ),
    ),
    errors.TooLarge: Problem(
        413,
        "too-large",
        "The body is too large",
        lambda e: (
            f"The body is over {e.limit_bytes} bytes.",
            "Send less, or raise the limit in the settings.",
            {"limit_bytes": e.limit_bytes},
        ),
    ),
    errors.RequestInvalid: Problem(
        422,
        "invalid-value",
        "A value cannot be meant",
        lambda e: (e.detail, e.advice, {"field": e.field}),
    ),
    errors.PoolUnknown: Problem(
        404,
        "pool-unknown",
        "No such pool is tracked",
        lambda e: (f"No tracked pool matches {e.asked}.", e.advice, {}),
    ),
    errors.ClusterUnknown: Problem(
        404,
        "cluster-unknown",
        "No such cluster",
        lambda e: (
            f"No cluster {e.cluster_id!r} is registered.",
            "Register it with PUT clusters/{cluster_id}, or send its requirements.",
            {"cluster_id": e.cluster_id},
        ),
    ),
    DriftAlertNotFound: Problem(
        404,
        "drift-alert-not-found",
        "No such alert",
        lambda e: (f"No alert {e.alert_id!r} is kept.", "GET drift/alerts lists them.", {"alert_id": e.alert_id}),
    ),
    TensorInvalid: Problem(
        400,
        "tensor-invalid",
        "A tensor cannot be meant",
        lambda e: (f"{e.part}: {e.detail}", "GET /v2/models/{name} says what the model takes.", {"field": e.part}),
    ),
    VersionNotActive: Problem(
        409,
        "version-not-active",
        "No version of the model is active",
        lambda e: (
            f"No version of {e.name} is active; there are {', '.join(e.versions)}.",
            "Name a version, or activate one.",
            {"versions": list(e.versions)},
        ),
    ),
    errors.DataStale: Problem(
        503,
        "data-stale",
        "The data is too old to answer from",
        lambda e: (
            f"The newest data is of {e.data_as_of.isoformat() if e.data_as_of else 'no instant yet'}; "
            f"at most {e.allowed_s:.0f} s are allowed.",
            "Try again shortly; GET readyz says what the server waits for.",
            {"data_as_of": e.data_as_of.isoformat() if e.data_as_of else None},
        ),
    ),
    errors.Unavailable: Problem(
        503,
        "unavailable",
        "A part of the server is not ready",
        lambda e: (f"{e.part}: {e.detail}", "Try again shortly; GET readyz shows each part.", {"part": e.part}),
    ),
    errors.StoreUnavailable: Problem(
        503,
        "store-unavailable",
        "The store does not answer",
        lambda e: (e.detail, "Try again shortly.", {}),
    ),
    errors.LeaseLost: Problem(
        503,
        "unavailable",
        "A part of the server is not ready",
        lambda e: (f"{e.name}: another one is taking over.", "Try again shortly.", {"part": e.name}),
    ),
    errors.RevisionConflict: Problem(
        409,
        "changed-meanwhile",
        "Somebody else changed it first",
        lambda e: (f"{e.kind} {e.key} was changed meanwhile.", "Read it again and repeat.", {}),
    ),
}
