"""Active pointers: generations, compare-and-set, history, rollback, and the setting that applies only at first."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.errors import LeaseLost, ModelNotFound, NoActiveModel, RevisionConflict
from services.models.activation import Activations
from services.models.version import ModelVersion, Task
from services.store.protocol import Document, Store
from services.store.sqlite import SqliteStore
from tests.unit.models.test_registry import version

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = SqliteStore(tmp_path / "store.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def activations(store: Store) -> Activations:
    return Activations(store)


def row(model_id: str, task: Task = "spot_price", age: int = 0) -> ModelVersion:
    return version(model_id, "0", age).model_copy(update={"task": task})


def test_each_activation_is_a_generation(activations: Activations) -> None:
    assert activations.active("spot_price") is None
    first = activations.activate(row("demo:v1"), "me", AT)
    second = activations.activate(row("demo:v2"), "you", AT + timedelta(hours=1))
    assert (first.generation, first.previous) == (1, None)
    assert (second.generation, second.previous, second.by) == (2, "demo:v1", "you")
    assert activations.active("spot_price") == second
    assert [turn.model_id for turn in second.history] == ["demo:v2", "demo:v1"]
    assert activations.all() == {"spot_price": second}
    assert activations.uses("demo:v2") == ["spot_price"]
    assert activations.uses("demo:v1") == []


def test_tasks_have_pointers_of_their_own(activations: Activations) -> None:
    activations.activate(row("price:v1"), "me", AT)
    activations.activate(row("risk:v1", "spot_interruption"), "me", AT)
    assert {task: pointer.model_id for task, pointer in activations.all().items()} == {
        "spot_price": "price:v1",
        "spot_interruption": "risk:v1",
    }


def test_a_rollback_goes_to_the_model_before(activations: Activations) -> None:
    with pytest.raises(NoActiveModel):
        activations.before("spot_price")
    activations.activate(row("demo:v1"), "me", AT)
    with pytest.raises(ModelNotFound):
        activations.before("spot_price")
    activations.activate(row("demo:v2"), "me", AT)
    activations.activate(row("demo:v2"), "me", AT)  # once more does not forget v1
    assert activations.before("spot_price") == "demo:v1"
    assert activations.activate(row("demo:v1"), "me", AT).previous == "demo:v2"


def test_who_comes_second_is_told(activations: Activations, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server activates between our look and our write."""
    activations.activate(row("demo:v1"), "me", AT)
    look = store.get

    def look_then_lose(kind: str, key: str) -> Document | None:
        found = look(kind, key)
        monkeypatch.undo()
        Activations(store).activate(row("demo:v2"), "another", AT)
        return found

    monkeypatch.setattr(store, "get", look_then_lose)
    with pytest.raises(RevisionConflict):
        activations.activate(row("demo:v3"), "me", AT)
    pointer = activations.active("spot_price")
    assert pointer is not None
    assert (pointer.model_id, pointer.generation) == ("demo:v2", 2)


def test_a_lost_lease_cannot_activate(activations: Activations, store: Store) -> None:
    lease = store.acquire("swap", "me", 10)
    assert lease is not None
    store.release(lease)
    assert store.acquire("swap", "another", 10) is not None
    with pytest.raises(LeaseLost):
        activations.activate(row("demo:v1"), "me", AT, fence=lease)
    assert activations.active("spot_price") is None


ROWS = (row("old:v1", age=5), row("new:v1"), row("risk:v1", "spot_interruption"), row("new:v2"))


@pytest.mark.parametrize(
    ("wanted", "active"),
    [
        ("v1", {"spot_price": "new:v1", "spot_interruption": "risk:v1"}),
        ("old:v1", {"spot_price": "old:v1"}),
        ("v2", {"spot_price": "new:v2"}),
    ],
)
def test_the_setting_applies_at_first(activations: Activations, wanted: str, active: dict[Task, str]) -> None:
    assert activations.apply_default(wanted, ROWS, AT) == []
    assert {task: pointer.model_id for task, pointer in activations.all().items()} == active


def test_a_choice_made_through_the_api_wins_over_the_setting(activations: Activations) -> None:
    chosen = activations.activate(row("new:v2"), "me", AT)
    assert activations.apply_default("v1", ROWS, AT) == []
    assert activations.active("spot_price") == chosen
    assert activations.uses("risk:v1") == ["spot_interruption"]


def test_a_setting_that_matches_nothing_is_warned_of(activations: Activations) -> None:
    assert activations.apply_default(None, ROWS, AT) == []
    (warning,) = activations.apply_default("v9", ROWS, AT)
    assert "MODEL_ACTIVE_VERSION=v9" in warning
    assert activations.all() == {}
