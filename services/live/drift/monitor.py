"""The monitor: the loop shows it every block, it looks at a window's worth at a time and says what it makes of it."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import structlog

from services.live.board import FeatureBlock
from services.live.drift import moves
from services.live.drift.figures import FeatureDrift, Thresholds, compare
from services.live.drift.journal import Alert, DriftJournal, State, new_alert_id
from services.live.drift.reference import Reference, of_sample
from services.live.drift.signs import Evidence, Seen, Sign, collector_signs, imputed_share
from services.live.drift.skill import SkillFall, Skills
from services.live.drift.verdict import Case, Verdict, judge
from services.live.drift.window import Sample, Window
from services.models.shelf import SampleRows
from services.models.version import ModelVersion

# What the clock and the request say is no matter of the market.
LEFT_OUT = frozenset({"hour", "day_of_week", "hours_since_launch"})
LEAST_POOLS = 5
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Sources:
    """Where references and skill come from: a model's own sample, its gap's first week, its ledger."""

    sample: Callable[[str], SampleRows]
    gap: Callable[[ModelVersion, tuple[str, ...], datetime], Reference | None]
    skills: Skills


@dataclass(frozen=True, slots=True)
class _Look:
    """What one window is for one model."""

    sample: Sample
    reference: Reference | None
    figures: list[FeatureDrift]
    signs: list[Sign]
    case: Case

    @property
    def verdict(self) -> Verdict | None:
        """What the window by itself speaks for; None where it shows nothing."""
        shows = self.signs or self.case.drifted or self.case.skill
        return judge(self.case) if shows else None


class DriftMonitor:
    """One thread's at a time; looks once per window, at rows that it has sampled. Its state is in the journal."""

    def __init__(
        self, journal: DriftJournal, sources: Sources, thresholds: Thresholds, window: timedelta, max_age_s: float
    ) -> None:
        """A market's answer older than `max_age_s` (or a window, if that is longer) is a sign of the collector."""
        self._journal = journal
        self._sources = sources
        self._at = thresholds
        self._length = window
        self._max_age_s = max(max_age_s, window.total_seconds())
        self._window: Window | None = None
        self._pools: frozenset[str] = frozenset()
        self._samples: dict[str, SampleRows] = {}

    def observe(self, block: FeatureBlock, versions: Iterable[ModelVersion]) -> list[Alert]:
        """Take a block in; the alerts that are new with the window that it ends, most often none."""
        raised: list[Alert] = []
        if self._window is not None and not self._window.takes(block):
            sample = self._window.sample()
            self._window = None
            # A gap in the ticks is no window: what was seen before it says nothing of now.
            if block.as_of < sample.end + self._length:
                raised = [alert for version in versions if (alert := self._close(version, sample)) is not None]
                self._pools |= sample.present
        if self._window is None:
            self._window = Window(block, self._length)
        self._window.add(block)
        return raised

    def _close(self, version: ModelVersion, sample: Sample) -> Alert | None:
        state = self._journal.state(version.model_id)
        look = self._look(version, sample, state)
        verdict = look.verdict
        turned = self._turned(version, state, look, verdict)
        alert = None
        if verdict is not None and self._calls(turned) and (turned.open_alert is None or self._other(turned, verdict)):
            alert = self._alert(version, look, verdict, turned)
            self._journal.raise_alert(alert)
            self._journal.trim()
            if turned.open_alert is not None:
                self._follow(turned.open_alert, sample.end, turned.longest, over=True)
            turned = turned.model_copy(update={"open_alert": alert.alert_id})
            _log.warning("drift_alert", model_id=version.model_id, kind=alert.kind, sentence=alert.sentence)
        elif turned.open_alert is not None:
            self._follow(turned.open_alert, sample.end, turned.longest, over=verdict is None)
            turned = turned if verdict else turned.model_copy(update={"open_alert": None})
        self._journal.add_window(version.model_id, sample.end, look.figures, verdict, self._told(look, turned))
        self._journal.keep_state(version.model_id, turned)
        return alert

    def _look(self, version: ModelVersion, sample: Sample, state: State) -> _Look:
        reference = self._reference(version, sample)
        prices = reference.prices if reference and reference.prices else state.prices
        on_demand = reference.on_demand if reference and reference.on_demand else state.on_demand
        moved = moves.measure(sample, prices, on_demand)
        figures = self._figures(version, reference, sample) if reference else []
        seen = Seen(self._pools, 1.0 if state.least_imputed is None else state.least_imputed)
        signs = collector_signs(Evidence(sample, reference, moved, seen, version.features, self._max_age_s))
        case = Case(
            figures,
            signs,
            moves.largest_change(reference, sample) if reference else None,
            moves.common(moved.prices) or (moves.shifted(reference, sample) if reference else None),
            moves.common(moved.on_demand),
            self._skill(version, sample),
        )
        return _Look(sample, reference, figures, signs, case)

    def _figures(self, version: ModelVersion, reference: Reference, sample: Sample) -> list[FeatureDrift]:
        if len(sample.pool_ids) < LEAST_POOLS:
            return []
        independent = (len(sample.pool_ids), reference.independent)
        return [
            compare(
                name,
                reference.column(name),
                sample.observed(name),
                imputed_share(sample, (name,)),
                independent,
                self._at,
            )
            for name in version.features
            if name not in LEFT_OUT
        ]

    def _reference(self, version: ModelVersion, sample: Sample) -> Reference | None:
        model_id = version.model_id
        if model_id not in self._samples:
            self._samples[model_id] = self._sources.sample(model_id)
        if own := of_sample(version, self._samples[model_id], sample):
            return own
        if kept := self._journal.reference(model_id):
            return kept
        made = self._sources.gap(version, sample.pool_ids, sample.start)
        if made is not None:
            self._journal.keep_reference(model_id, made)
        return made

    def _skill(self, version: ModelVersion, sample: Sample) -> SkillFall | None:
        return self._sources.skills.fall(version, sample.pool_ids, sample.end, self._length)

    def _turned(self, version: ModelVersion, state: State, look: _Look, verdict: Verdict | None) -> State:
        """The runs, one window on."""
        share = imputed_share(look.sample, version.features)
        quiet = verdict is None and look.reference is not None
        return State(
            runs={name: state.runs.get(name, 0) + 1 for name in look.case.drifted},
            collector_run=state.collector_run + 1 if look.signs else 0,
            skill_run=state.skill_run + 1 if look.case.skill else 0,
            kind=verdict.kind if verdict else None,
            kind_run=state.kind_run + 1 if verdict and verdict.kind == state.kind else int(verdict is not None),
            open_alert=state.open_alert,
            prices={**look.sample.pool_medians("price"), **state.prices} if quiet else state.prices,
            on_demand={**look.sample.pool_medians("on_demand_price"), **state.on_demand} if quiet else state.on_demand,
            least_imputed=min(share, state.least_imputed if state.least_imputed is not None else share),
        )

    def _calls(self, state: State) -> bool:
        return state.longest >= self._at.windows

    def _other(self, state: State, verdict: Verdict) -> bool:
        """Whether what is open is of another kind, and this one has lasted as long as a first alert must."""
        if state.open_alert is None or state.kind_run < self._at.windows:
            return False
        return self._journal.alert(state.open_alert).kind != verdict.kind

    def _alert(self, version: ModelVersion, look: _Look, verdict: Verdict, state: State) -> Alert:
        return Alert(
            alert_id=new_alert_id(),
            model_id=version.model_id,
            task=version.task,
            kind=verdict.kind,
            sentence=verdict.sentence,
            raised_at=look.sample.end,
            last_window_end=look.sample.end,
            windows=state.longest,
            reference=look.reference.source if look.reference else None,
            features=[asdict(figure) for figure in look.figures if figure.drifted],
            evidence=verdict.evidence,
        )

    def _follow(self, alert_id: str, at: datetime, windows: int, *, over: bool) -> None:
        """Carry an open alert on to the newest window, or end it with it."""
        news: dict[str, object] = {"ended_at": at} if over else {"last_window_end": at, "windows": windows}
        self._journal.raise_alert(self._journal.alert(alert_id).model_copy(update=news))

    def _told(self, look: _Look, state: State) -> dict[str, object]:
        return {
            "start": look.sample.start.isoformat(),
            "pools": len(look.sample.pool_ids),
            "rows": len(look.sample.matrix),
            "reference": look.reference.source if look.reference else None,
            "reference_rows": len(look.reference.matrix) if look.reference else 0,
            "collector_signs": [asdict(sign) for sign in look.signs],
            "runs": state.runs,
        }
