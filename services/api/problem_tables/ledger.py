"""Problems of forecasts that are held to account."""

from services.api.problem_tables.problem import Problem, Table
from services.live.ledger import errors

TABLE: Table = {
    errors.ForecastUnskilled: Problem(
        409,
        "forecast-unskilled",
        "The forecast has no skill",
        lambda e: (
            f"Over the last week {e.model_id} was no better than the naive forecast: skill {e.skill:.3f} on {e.known} "
            "outcomes, and this server refuses such forecasts.",
            "Activate a better model (GET accuracy shows the figures), or set REFUSE_UNSKILLED_FORECASTS=false.",
            {"model_id": e.model_id, "skill": e.skill, "known": e.known},
        ),
    ),
}
