"""The tiers: what is said of each, what each lets in, and that the operator's word counts."""

import pickle
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog.testing

from engines.catalogue import Catalogue
from engines.confined_engine import EngineLimits
from engines.contract import Cluster, hold_everything
from engines.deciding import ask
from engines.host import EngineHost
from engines.intake import EngineOrder
from engines.sandbox import detect_tier
from engines.sandbox_limits import Confinement, Tier
from services.audit import Audit
from services.composition.confinement import REFUSED, announce, required, said_of
from services.errors import Unavailable
from services.live.engine_room import EngineRoom
from services.live.selection import EngineSelection
from services.models.inspection import Inspector
from services.models.intake import Intake
from services.models.registry import Registry
from services.store.sqlite import SqliteStore
from tests.trained_models import FEATURES, trained
from tests.unit.engines import engine_inputs as small
from tests.unit.engines.engine_files import engine_file
from tests.unit.models.upload_steps import left_behind, upload

WEAK = Confinement(most=Tier.C)
OVERRIDDEN = Confinement(most=Tier.C, weakest=Tier.C)


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    store = SqliteStore(tmp_path / "store.sqlite")
    yield Audit(store)
    store.close()


def test_the_machine_can_be_held_back_to_each_tier() -> None:
    best = detect_tier()
    for most in Tier:
        assert detect_tier(most) is max(most, best)  # letters: the later one is the weaker


def test_what_was_found_at_start_is_what_every_child_must_reach() -> None:
    assert required(Tier.A, weak_allowed=False).weakest is Tier.A
    assert required(Tier.B, weak_allowed=True).weakest is Tier.B
    assert required(Tier.C, weak_allowed=True).weakest is Tier.C
    assert required(Tier.C, weak_allowed=False).weakest is Tier.B


def test_readyz_says_what_a_tier_lacks() -> None:
    assert said_of(Tier.A, weak_allowed=True) == {"confinement": "A", "confinement_lacks": [], "uploads": "taken"}
    assert "can be read" in said_of(Tier.B, weak_allowed=False)["confinement_lacks"][0]
    refused, overridden = said_of(Tier.C, weak_allowed=False), said_of(Tier.C, weak_allowed=True)
    assert refused["uploads"] == REFUSED
    assert "programs started" in refused["confinement_lacks"][1]
    assert overridden["uploads"].startswith("taken by ALLOW_WEAK_CONFINEMENT")


@pytest.mark.parametrize(("tier", "level"), [(Tier.A, "info"), (Tier.B, "warning"), (Tier.C, "warning")])
def test_the_choice_stands_in_the_log_and_in_the_audit_log(audit: Audit, tier: Tier, level: str) -> None:
    with structlog.testing.capture_logs() as lines:
        said = announce(False, audit, tier)
    assert [(line["event"], line["log_level"]) for line in lines] == [("confinement_chosen", level)]
    (entry,) = audit.list()
    assert (entry.action, entry.target, entry.detail) == ("confinement.chosen", f"tier {tier}", said)


def test_where_children_are_hardly_confined_models_are_refused(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    data = pickle.dumps(trained("tree").estimator)
    with pytest.raises(Unavailable, match="tier C here, and tier B is needed"):
        upload(Intake(registry, FEATURES, Inspector(confinement=WEAK)), data)
    assert left_behind(registry) == []
    assert upload(Intake(registry, FEATURES, Inspector(confinement=OVERRIDDEN)), data).compiled


def test_where_children_are_hardly_confined_engines_are_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.sqlite")
    given = small.given(Cluster(cluster_id="c", nodes=(small.node("n", "m5.large"),)))
    order = EngineOrder("tested", "1", "", "somebody")
    with closing(store):
        weak = Catalogue(tmp_path, EngineLimits(confinement=WEAK))
        with pytest.raises(Unavailable, match="tier C here, and tier B is needed"):
            EngineRoom(EngineHost(weak), EngineSelection(store)).admit(engine_file(), order)
        catalogue = Catalogue(tmp_path, EngineLimits(confinement=OVERRIDDEN))
        entry = EngineRoom(EngineHost(catalogue), EngineSelection(store)).admit(engine_file(), order)
        opened = catalogue.open(entry.engine_id)
        with closing(opened):
            assert ask(opened, given) == hold_everything(given)
