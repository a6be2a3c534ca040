"""The table of problems: each error type with its status, its stable `type`, its close code and its words."""

from services.api.problem_tables import engines, experiments, gap_filler, ledger, models, replay, server
from services.api.problem_tables.problem import Problem, Table

__all__ = ["TABLE", "Problem"]

TABLE: Table = (
    server.TABLE | models.TABLE | experiments.TABLE | engines.TABLE | replay.TABLE | gap_filler.TABLE | ledger.TABLE
)
