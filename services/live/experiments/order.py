"""What an experiment is ordered with, and what of an order can be meant."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from services.live.experiments.errors import ExperimentInvalid
from services.live.experiments.experiment import MOST_ARMS, Arm, ArmName, GuardRule, Kind
from services.live.experiments.split import BUCKETS, shares_of
from services.models.version import ModelVersion

CONTROL = "control"
CHALLENGER = "challenger"


class ArmOrder(BaseModel):
    """One version; without a name it is `control` when it is the active one, else `challenger`, `challenger-2`, …."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model_id: str = Field(max_length=130)
    arm: ArmName | None = None
    weight: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="Its share of the pools, in any unit; 0: none of them"
    )


class ExperimentOrder(BaseModel):
    """Versions of one task, with one horizon; one of them is active. In the shadow it need not be named."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = "ab"
    arms: list[ArmOrder] = Field(min_length=1, max_length=MOST_ARMS)
    description: str = Field(default="", max_length=500)
    guard: GuardRule | None = Field(
        default=None, description="When challengers are taken out without anybody being asked"
    )


def arms_of(order: ExperimentOrder, versions: Sequence[ModelVersion], active: ModelVersion) -> tuple[Arm, ...]:
    """The arms, the control first; `versions` are those of the order's arms. Raises `ExperimentInvalid`."""
    _check_versions(versions, active)
    wanted = list(order.arms)
    if active.model_id not in {version.model_id for version in versions}:
        if order.kind == "ab":
            detail = f"do not hold {active.model_id}, which is active for {active.task}"
            raise ExperimentInvalid("arms", detail, "Make it one of the arms: the others are held against it.")
        wanted.insert(0, ArmOrder(model_id=active.model_id))
        versions = [active, *versions]
    pairs = sorted(zip(wanted, versions, strict=True), key=lambda pair: pair[1].model_id != active.model_id)
    if len(pairs) < 2:
        raise ExperimentInvalid("arms", "have no challenger", "Name a version that is not active.")
    if len(pairs) > MOST_ARMS:
        raise ExperimentInvalid("arms", f"are more than {MOST_ARMS}", "Compare fewer versions at once.")
    names = _names([arm.arm for arm, _ in pairs])
    weights = _weights(order.kind, dict(zip(names, [arm.weight for arm, _ in pairs], strict=True)))
    return tuple(
        Arm(arm=name, model_id=version.model_id, weight=weights[name])
        for name, (_, version) in zip(names, pairs, strict=True)
    )


def weights_of(arms: Sequence[Arm], wanted: dict[str, float]) -> dict[str, int]:
    """New weights for all arms, in 10,000ths; an arm that is not named gets none. Raises `ExperimentInvalid`."""
    if unknown := sorted(wanted.keys() - {arm.arm for arm in arms}):
        raise ExperimentInvalid("weights", f"name {unknown[0]!r}, which is no arm", "GET experiments/{id} has them.")
    return shares_of({arm.arm: wanted.get(arm.arm, 0) for arm in arms})


def _check_versions(versions: Sequence[ModelVersion], active: ModelVersion) -> None:
    seen: set[str] = set()
    for place, version in enumerate(versions):
        field = f"arms.{place}.model_id"
        if version.task != active.task:
            detail = f"{version.model_id} is a model of the task {version.task}, not {active.task}"
            raise ExperimentInvalid(field, detail, "Compare versions of one task.")
        if version.horizon_hours != active.horizon_hours:
            detail = f"{version.model_id} predicts {version.horizon_hours} h ahead, {active.model_id} "
            raise ExperimentInvalid(
                field,
                f"{detail}{active.horizon_hours} h",
                "Compare versions of one horizon: they have the same outcomes.",
            )
        if version.model_id in seen:
            raise ExperimentInvalid(field, f"{version.model_id} is there twice", "Name each version once.")
        seen.add(version.model_id)


def _names(given: Sequence[str | None]) -> list[str]:
    names: list[str] = []
    for place, name in enumerate(given):
        usual = CONTROL if place == 0 else CHALLENGER if place == 1 else f"{CHALLENGER}-{place}"
        names.append(name or usual)
    if len(set(names)) != len(names):
        raise ExperimentInvalid("arms", "share a name", "Give each arm a name of its own.")
    return names


def _weights(kind: Kind, given: dict[str, float | None]) -> dict[str, int]:
    control = next(iter(given))
    if kind == "shadow":
        if any(weight for arm, weight in given.items() if arm != control):
            raise ExperimentInvalid("arms", "give a challenger traffic", "Leave weights out: a shadow serves nobody.")
        return {arm: BUCKETS if arm == control else 0 for arm in given}
    if missing := [arm for arm, weight in given.items() if weight is None]:
        raise ExperimentInvalid("arms", f"do not say the weight of {missing[0]}", "Send a weight with each arm.")
    return shares_of({arm: weight or 0.0 for arm, weight in given.items()})
