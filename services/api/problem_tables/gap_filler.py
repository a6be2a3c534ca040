"""Problems of the gap filler and of the market behind it."""

import gapfill.errors as gapfill_errors
from services.api.problem_tables.problem import Problem, Table, near

TABLE: Table = {
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
            near(e.nearest) or "GET gap-filler/places shows what the market offers.",
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
