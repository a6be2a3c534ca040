"""What the server says of how far it confines uploaded code."""

from typing import Any

import httpx

from engines.sandbox import detect_tier
from engines.sandbox_limits import LACKS
from tests.api.api_server import Served


def test_readyz_says_the_tier_and_what_it_lacks(served: Served) -> None:
    told = httpx.get(f"{served.address}/readyz").json()
    tier = detect_tier()
    assert (told["confinement"], told["confinement_lacks"]) == (tier.value, list(LACKS[tier]))
    assert told["uploads"] == "taken"


def test_the_choice_at_start_stands_in_the_audit_log(admin: httpx.Client) -> None:
    found: list[dict[str, Any]] = []
    page = admin.get("/audit", params={"limit": 100}).json()
    while page:
        found += [entry for entry in page if entry["action"] == "confinement.chosen"]
        page = admin.get("/audit", params={"limit": 100, "before": page[-1]["seq"]}).json()
    (entry,) = found
    assert entry["target"] == f"tier {detect_tier()}"
    assert entry["detail"]["uploads"] == "taken"
