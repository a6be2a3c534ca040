"""Whose market the AWS endpoints are: an account's, or that of our own simulator or replayer."""

import os
from collections.abc import Callable

import httpx

# Where the market server (`gapfill/market`) says who it is.
IDENTITY_PATH = "/_market/identity"
_TIMEOUT_S = 10.0


def market_id_of(account: Callable[[], str]) -> str:
    """The market behind EC2's endpoint when one is set and says so itself, else `aws:<account>`."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_EC2") or os.environ.get("AWS_ENDPOINT_URL", "")
    own = identity(endpoint).get("market_id") if endpoint else None
    return str(own) if own else f"aws:{account()}"


def identity(endpoint: str) -> dict[str, object]:
    """What the market server at `endpoint` says of itself; empty when it is another kind of server or not there."""
    try:
        answer = httpx.get(endpoint.rstrip("/") + IDENTITY_PATH, timeout=_TIMEOUT_S)
        body = answer.json() if answer.is_success else {}
    except (httpx.HTTPError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
