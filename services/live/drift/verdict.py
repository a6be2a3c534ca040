"""Which of three it is: the collector broke, the signal changed its meaning, or the market moved.

Asked in this order, as a broken collector looks like anything, and as a market may move while a signal is wrong:

1. *The collector broke*: the window shows a sign of it (`signs`).
2. *The signal changed its meaning*: the relation of two level features has changed by 0.3 or more in rank correlation;
   or the model's skill fell though no feature drifted; or a feature drifted alone, with nothing that moved with it.
3. *The market moved*: spot or on-demand prices moved the same way in at least 60 % of the pools, or at least two
   features of the market's unrest drifted together, and the relations among the levels held.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from services.live.drift.figures import FeatureDrift
from services.live.drift.moves import LEVELS, CommonMove, Relation
from services.live.drift.signs import Sign
from services.live.drift.skill import SkillFall

Kind = Literal["market_moved", "signal_changed", "collector_broke"]
RELATION_CHANGED = 0.3
TOGETHER = 0.6
LEAST_UNREST = 2


@dataclass(frozen=True, slots=True)
class Case:
    """What a window showed."""

    figures: Sequence[FeatureDrift]
    signs: Sequence[Sign]
    relation: Relation | None
    spot: CommonMove | None
    on_demand: CommonMove | None
    skill: SkillFall | None

    @property
    def drifted(self) -> list[str]:
        """The features that are too far from the reference."""
        return [figure.feature for figure in self.figures if figure.drifted]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One of three, in a sentence, and the figures that it rests on."""

    kind: Kind
    sentence: str
    evidence: dict[str, Any]


def judge(case: Case) -> Verdict:
    """The rule of this module, over a window that calls for an alert."""
    evidence = _evidence(case)
    if case.signs:
        return Verdict("collector_broke", " ".join(sign.sentence for sign in case.signs), evidence)
    if case.relation is not None and case.relation.change >= RELATION_CHANGED:
        one, other = case.relation.features
        told = f"{one} and {other} do not go together as they did: rank correlation "
        return Verdict(
            "signal_changed", f"{told}{case.relation.now:.2f} instead of {case.relation.before:.2f}.", evidence
        )
    if not case.drifted and case.skill is not None:
        told = f"The inputs are as they were, but the skill fell from {case.skill.before:.2f} to {case.skill.now:.2f}."
        return Verdict("signal_changed", told, evidence)
    if (moved := _moved_together(case)) is not None:
        return Verdict("market_moved", moved, evidence)
    told = f"Only {', '.join(case.drifted)} drifted: no price moved in common, and nothing else went with it."
    return Verdict("signal_changed", told, evidence)


def _moved_together(case: Case) -> str | None:
    for what, move in (("spot", case.spot), ("on-demand", case.on_demand)):
        if move is not None and move.share >= TOGETHER:
            pools = f"{move.share:.0%} of {move.pools} pools"
            return f"The {what} prices of {pools} moved the same way, to {move.factor:.2f} times what they were."
    unrest = [name for name in case.drifted if name not in LEVELS]
    if len(unrest) >= LEAST_UNREST:
        return f"The market's unrest has changed: {', '.join(unrest)}; the levels hold together as before."
    return None


def _evidence(case: Case) -> dict[str, Any]:
    relation = case.relation
    return {
        "drifted_features": case.drifted,
        "collector_signs": [asdict(sign) for sign in case.signs],
        "spot_prices": asdict(case.spot) if case.spot else None,
        "on_demand_prices": asdict(case.on_demand) if case.on_demand else None,
        "largest_relation_change": {**asdict(relation), "change": relation.change} if relation else None,
        "skill": asdict(case.skill) if case.skill else None,
    }
