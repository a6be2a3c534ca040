"""How far uploaded code is confined on this machine: chosen at start, said aloud, handed to all who start children."""

from typing import Any

import structlog

from engines.sandbox import detect_tier
from engines.sandbox_errors import ConfinementFailed
from engines.sandbox_limits import LACKS, Confinement, Tier
from services.audit import Audit
from services.settings import Settings

TAKEN = "taken"
OVERRIDDEN = "taken by ALLOW_WEAK_CONFINEMENT, though hardly confined"
REFUSED = "refused: the operator may set ALLOW_WEAK_CONFINEMENT=true to take them all the same"

_log = structlog.get_logger(__name__)


def tier_here() -> Tier:
    """The tier of this machine; C where no child could be confined at all."""
    try:
        return detect_tier()
    except ConfinementFailed as error:
        _log.exception("confinement_not_tried", detail=error.detail)
        return Tier.C


def confinement_of(settings: Settings) -> Confinement:
    """What children of this process must reach: the tier found at start, and no less later on."""
    return required(tier_here(), settings.allow_weak_confinement)


def required(tier: Tier, weak_allowed: bool) -> Confinement:
    """Tier C is enough only where the operator has said so."""
    enough = tier.at_least(Tier.B) or weak_allowed
    return Confinement(weakest=tier if enough else Tier.B)


def said_of(tier: Tier, weak_allowed: bool) -> dict[str, Any]:
    """What `readyz` says: the tier, what it lacks, and whether models and engines are taken in."""
    uploads = TAKEN if tier.at_least(Tier.B) else OVERRIDDEN if weak_allowed else REFUSED
    return {"confinement": tier.value, "confinement_lacks": list(LACKS[tier]), "uploads": uploads}


def announce(weak_allowed: bool, audit: Audit, tier: Tier | None = None) -> dict[str, Any]:
    """Write the choice into the log and the audit log; gives what `readyz` says. `tier` default: this machine's."""
    said = said_of(tier or tier_here(), weak_allowed)
    say = _log.info if said["confinement"] == Tier.A else _log.warning
    say("confinement_chosen", **said)
    audit.record(None, "confinement.chosen", f"tier {said['confinement']}", **said)
    return said
