"""What several processes count is one series each in the answer."""

from prometheus_client import CollectorRegistry

from services.composition.house import _together
from services.telemetry import Metrics


def test_counts_add_up_and_a_gauge_that_was_set_wins() -> None:
    ours, theirs = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    ours.tick_seconds.observe(0.2)
    theirs.tick_seconds.observe(0.3)
    theirs.tick_at.set(7)
    families = {family.name: family for family in ours.registry.collect()}
    for family in theirs.registry.collect():
        families[family.name] = _together(families[family.name], family)
    found = {(s.name, *s.labels.items()): s.value for s in families["cloudoptim_tick_seconds"].samples}
    assert len(found) == len(families["cloudoptim_tick_seconds"].samples)
    assert found[("cloudoptim_tick_seconds_count",)] == 2
    assert [s.value for s in families["cloudoptim_tick_timestamp_seconds"].samples] == [7]
