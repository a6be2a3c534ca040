"""What can go wrong with drift; none of it knows HTTP.

ServerError
└── DriftAlertNotFound           no such alert
"""

from services.errors import ServerError


class DriftAlertNotFound(ServerError):
    """No alert `alert_id` is kept."""

    def __init__(self, alert_id: str) -> None:
        super().__init__(alert_id)
        self.alert_id = alert_id
