"""The guard: a challenger that errs, slows or loses skill is taken out without anybody being asked."""

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from scipy.stats import binomtest

from services.errors import LeaseLost
from services.live.experiments.counts import ArmCounts
from services.live.experiments.experiment import Arm, Experiment, GuardRule
from services.live.experiments.figures import LEVEL, difference
from services.live.experiments.standing import Outcomes, arm_rows, counts_of
from services.store.protocol import Lease, Store

LEASE = "experiment_guard"
LEASE_TTL_S = 15.0
RECENT_S = 300.0
SKILL_EVERY_S = 60.0


class Guard:
    """Looks at the experiments that wish it; one process of all does, the one with the lease. Not thread-safe."""

    def __init__(
        self, store: Store, outcomes: Outcomes, holder: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._outcomes = outcomes
        self._holder = holder
        self._clock = clock
        self._lease: Lease | None = None
        self._seen: dict[str, deque[tuple[float, dict[str, ArmCounts]]]] = {}
        self._judged_at: dict[str, float] = {}

    def on_duty(self) -> bool:
        """Whether it is this process that looks; raises the store's errors."""
        try:
            if self._lease is not None:
                self._store.renew(self._lease, LEASE_TTL_S)
        except LeaseLost:
            self._lease = None
        if self._lease is None:
            self._lease = self._store.acquire(LEASE, self._holder, LEASE_TTL_S)
        return self._lease is not None

    def off_duty(self) -> None:
        """Let another process look."""
        lease, self._lease = self._lease, None
        if lease is not None:
            self._store.release(lease)
        self._seen.clear()

    def verdict(self, experiment: Experiment) -> str:
        """Why the experiment has to end, in words; "" while it has not."""
        rule = experiment.guard
        if rule is None:
            return ""
        now = self._clock()
        counts = counts_of(self._store, experiment)
        recent = self._recent(experiment, counts, now)
        for arm in experiment.arms[1:]:
            if reason := erring(arm, recent[arm.arm], rule) or self._slow(experiment, arm, recent, rule):
                return reason
        if now - self._judged_at.get(experiment.experiment_id, -SKILL_EVERY_S) < SKILL_EVERY_S:
            return ""
        self._judged_at[experiment.experiment_id] = now
        return self._losing(experiment, rule)

    def _recent(self, experiment: Experiment, counts: dict[str, ArmCounts], now: float) -> dict[str, ArmCounts]:
        """What was counted in the last minutes, or since the experiment began, or since the guard looks at it."""
        seen = self._seen.setdefault(experiment.experiment_id, deque())
        if not seen:
            young = (datetime.now(UTC) - experiment.started_at).total_seconds() < RECENT_S
            seen.append((now, {} if young else counts))
        seen.append((now, counts))
        while len(seen) > 2 and seen[1][0] <= now - RECENT_S:
            seen.popleft()
        earlier = seen[0][1]
        return {arm: one.less(earlier.get(arm, ArmCounts())) for arm, one in counts.items()}

    def _slow(self, experiment: Experiment, arm: Arm, recent: dict[str, ArmCounts], rule: GuardRule) -> str:
        """Of an A/B alone: nobody waits for a shadow."""
        ours, theirs = recent[experiment.control.arm], recent[arm.arm]
        enough = min(sum(ours.times.values()), sum(theirs.times.values())) >= rule.min_requests
        if experiment.kind != "ab" or rule.max_latency_ratio is None or not enough:
            return ""
        usual, its = ours.percentile_ms(0.95), theirs.percentile_ms(0.95)
        if usual is None or its is None or its <= max(rule.latency_floor_ms, rule.max_latency_ratio * usual):
            return ""
        return f"{arm.model_id} is slow: its p95 is {its:.3g} ms, the control's {usual:.3g} ms"

    def _losing(self, experiment: Experiment, rule: GuardRule) -> str:
        if rule.max_skill_loss is None:
            return ""
        by_arm = arm_rows(experiment, self._outcomes.rows(experiment, datetime.now(UTC)))
        for arm in experiment.arms[1:]:
            paired = experiment.kind == "shadow"
            found = difference(by_arm[experiment.control.arm], by_arm[arm.arm], paired=paired)
            if found is not None and found.high < -rule.max_skill_loss:
                return (
                    f"{arm.model_id} loses skill: {found.value:+.3f} against the control "
                    f"({LEVEL:.0%} interval {found.low:+.3f} to {found.high:+.3f})"
                )
        return ""


def erring(arm: Arm, recent: ArmCounts, rule: GuardRule) -> str:
    """Whether a challenger surely fails more often than it may: by the lower end of Wilson's interval."""
    if rule.max_error_rate is None or recent.calls < rule.min_requests:
        return ""
    errors = min(recent.errors, recent.calls)
    low = float(binomtest(errors, recent.calls).proportion_ci(LEVEL, "wilson").low)
    if low <= rule.max_error_rate:
        return ""
    return f"{arm.model_id} errs: {errors} of its last {recent.calls} calls failed, the last with {recent.last_error}"
