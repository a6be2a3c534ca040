"""The central platform as this server meets it: decisions go there, and clusters may come from there.

The contract is in docs/central-platform.md. Foreign errors end here.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import httpx
import structlog
from pydantic import ValidationError

from engines.contract import Cluster

TIMEOUT_S = 10.0
MOST_WAIT_S = 300.0
MOST_BYTES = 64 * 1024**2
# Whatever is asked, the platform cannot be spoken to now: it is away, too busy, or does not know the key or the path.
AWAY = frozenset({401, 403, 404, 408, 425, 429, 502, 503, 504})
KNOWN_ALREADY = 409
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one delivery; `retry_after_s` is what the platform asked for (0: nothing)."""

    outcome: Literal["delivered", "refused", "failed", "away"]
    detail: str = ""
    retry_after_s: float = 0.0


class Platform(Protocol):
    """Takes decisions and tells clusters."""

    def deliver(self, decision_id: str, body: dict[str, Any]) -> Answer:
        """Hand a decision over; raises nothing."""
        ...

    def clusters(self) -> list[Cluster] | None:
        """The clusters that it knows; None where it does not say, now or ever."""
        ...


class CentralPlatform:
    """`Platform` over HTTP. Redirects are not followed: the key is for this address alone."""

    def __init__(self, url: str, api_key: str | None, timeout_s: float = TIMEOUT_S) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._url = url.rstrip("/")
        self._client = httpx.Client(headers=headers, timeout=timeout_s, trust_env=False, follow_redirects=False)
        self._unknown_said: set[str] = set()

    def deliver(self, decision_id: str, body: dict[str, Any]) -> Answer:
        """See `Platform`."""
        try:
            answer = self._client.post(f"{self._url}/decisions", json=body, headers={"Idempotency-Key": decision_id})
        except httpx.HTTPError as error:
            return Answer("away", f"{type(error).__name__}: {error}"[:300])
        if answer.is_success or answer.status_code == KNOWN_ALREADY:
            return Answer("delivered")
        detail = f"{answer.status_code} {answer.text[:200]}".strip()
        if answer.status_code in AWAY or answer.is_redirect:
            return Answer("away", detail, _seconds(answer.headers.get("retry-after", "")))
        return Answer("refused" if answer.is_client_error else "failed", detail)

    def clusters(self) -> list[Cluster] | None:
        """See `Platform`; an entry that is no cluster is left out, and said once."""
        try:
            answer = self._client.get(f"{self._url}/clusters")
            if not answer.is_success or len(answer.content) > MOST_BYTES:
                _log.warning("clusters_not_pulled", detail=f"{answer.status_code}, {len(answer.content)} bytes")
                return None
            told = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            _log.warning("clusters_not_pulled", detail=f"{type(error).__name__}: {error}"[:300])
            return None
        entries = told.get("clusters") if isinstance(told, dict) else told
        if not isinstance(entries, list):
            _log.warning("clusters_not_pulled", detail="neither a list nor an object with `clusters`")
            return None
        return [cluster for entry in entries if (cluster := self._cluster(entry)) is not None]

    def close(self) -> None:
        """Release the connections."""
        self._client.close()

    def _cluster(self, entry: object) -> Cluster | None:
        """A cluster, without fields that this release does not know on its first level."""
        fields = entry.items() if isinstance(entry, dict) else ()
        known = {name: value for name, value in fields if name in Cluster.model_fields}
        try:
            return Cluster.model_validate(known)
        except ValidationError as error:
            name = str(known.get("cluster_id", ""))[:255]
            if name not in self._unknown_said:
                self._unknown_said.add(name)
                first = error.errors()[0]
                _log.warning("cluster_not_understood", cluster_id=name, field=str(first["loc"]), detail=first["msg"])
            return None


def _seconds(retry_after: str) -> float:
    """A Retry-After in seconds; 0 for none, and for a date, which no platform of ours sends."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), MOST_WAIT_S) if math.isfinite(seconds) else 0.0
