"""The table of problems: each error type with its status, its stable `type`, its close code and its words.

A problem says what was wrong (`detail`), where (`field`, or the instance) and what to do (`advice`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import engines.errors as engine_errors
import gapfill.errors as gapfill_errors
from services import errors


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error looks like from outside; `words` gives (detail, advice, further members)."""

    status: int
    slug: str
    title: str
    words: Callable[[Any], tuple[str, str, dict[str, Any]]]

    @property
    def close_code(self) -> int:
        """The WebSocket close code: 4000 + status, as is usual for application codes."""
        return 4000 + self.status


def _near(nearest: tuple[str, ...]) -> str:
    return f"Did you mean {', '.join(nearest)}?" if nearest else ""


TABLE: dict[type[Exception], Problem] = {
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
    errors.ModelNotFound: Problem(
        404,
        "model-not-found",
        "No such model version",
        lambda e: (
            f"There is no model version {e.model_id!r}.",
            _near(e.nearest) or "GET models/list shows those there are.",
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
    engine_errors.EngineNotFound: Problem(
        404,
        "engine-not-found",
        "No such engine",
        lambda e: (
            f"There is no engine {e.engine_id!r}.",
            _near(e.nearest) or "GET engines/list shows those there are.",
            {"engine_id": e.engine_id, "nearest": list(e.nearest)},
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
            {"engine_id": e.engine_id},
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
    gapfill_errors.GapUnknown: Problem(
        409,
        "no-active-model",
        "No gap is known",
        lambda e: (
            "No model is active, so there is no trained_until to start from.",
            "Activate a model, or send trained_until.",
            {"field": "trained_until"},
        ),
    ),
    gapfill_errors.FillRequestInvalid: Problem(
        422,
        "invalid-value",
        "A value cannot be meant",
        lambda e: (
            f"{e.field}: {e.value!r} cannot be meant.",
            f"Send {e.advice}.",
            {"field": e.field},
        ),
    ),
    gapfill_errors.FeatureRequestInvalid: Problem(
        422,
        "invalid-value",
        "A value cannot be meant",
        lambda e: (f"{e.field} {e.detail}.", f"{e.advice[:1].upper()}{e.advice[1:]}.", {"field": e.field}),
    ),
    gapfill_errors.UnknownPlace: Problem(
        422,
        "unknown-place",
        "Nobody offers this",
        lambda e: (
            f"There is no {e.what.replace('_', ' ')} {e.name!r}.",
            _near(e.nearest) or "GET gap-filler/places shows what the market offers.",
            {"field": e.what, "nearest": list(e.nearest)},
        ),
    ),
    gapfill_errors.JobNotFound: Problem(
        404,
        "fill-not-found",
        "No such fill",
        lambda e: (f"There is no fill {e.task_id!r}.", "GET gap-filler/history lists them.", {"task_id": e.task_id}),
    ),
    gapfill_errors.JobFinished: Problem(
        409,
        "fill-finished",
        "The fill has ended",
        lambda e: (
            f"{e.task_id} has ended: {e.status}.",
            "Nothing of it is left to cancel or to retry.",
            {"task_id": e.task_id},
        ),
    ),
    gapfill_errors.PriceFileInvalid: Problem(
        422,
        "price-file-invalid",
        "The file is not price history",
        lambda e: (
            f"{e.where}: {e.detail}",
            "Send what `aws ec2 describe-spot-price-history` prints, or the same columns as CSV, TSV or Parquet.",
            {"field": "file"},
        ),
    ),
    gapfill_errors.StaleWriter: Problem(
        503,
        "unavailable",
        "A part of the server is not ready",
        lambda e: (f"{e.name}: another one is taking over.", "Try again shortly.", {"part": e.name}),
    ),
    gapfill_errors.MarketAccessDenied: Problem(
        503,
        "market-access-denied",
        "AWS refuses the server's credentials",
        lambda e: (str(e), "Renew the server's AWS credentials.", {"region": e.region}),
    ),
    gapfill_errors.MarketError: Problem(
        503,
        "market-unavailable",
        "The price source does not answer",
        lambda e: (str(e), "Try again shortly.", {"region": e.region}),
    ),
}
