"""What can go wrong with forecasts that are held to account.

ServerError
└── ForecastUnskilled    the ledger shows no skill over the naive forecast, and the settings refuse such forecasts
"""

from services.errors import ServerError


class ForecastUnskilled(ServerError):
    """`model_id` had the skill `skill` over the naive forecast on `known` outcomes of the last week."""

    def __init__(self, model_id: str, skill: float, known: int) -> None:
        super().__init__(model_id, skill, known)
        self.model_id = model_id
        self.skill = skill
        self.known = known
