"""The registry: whole or not at all, one writer, many readers; what a crash leaves is swept."""

import fcntl
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import bentoml
import pytest
from bentoml._internal.models import ModelStore

from services.errors import ModelExists, ModelNotFound
from services.models.registry import Registry
from services.models.shelf import Shelf
from services.models.staging import Staging
from services.models.version import ModelVersion
from tests.unit.models.upload_steps import left_behind

START = datetime(2026, 3, 1, tzinfo=UTC)


def version(model_id: str, sha256: str, age: int = 0) -> ModelVersion:
    """A row of the registry."""
    name, _, number = model_id.partition(":")
    return ModelVersion(
        model_id=model_id,
        name=name,
        version=number,
        task="spot_price",
        horizon_hours=1,
        features=("price_usd",),
        trained_until=date(2026, 2, 1),
        uploaded_at=START - timedelta(hours=age),
        uploaded_by="test",
        sha256=sha256,
        size_bytes=7,
        filename="model.pkl",
        format="pickle",
        estimator="sklearn.tree._classes.DecisionTreeRegressor",
        compiled=True,
    )


def add(registry: Registry, model_id: str, age: int = 0) -> ModelVersion:
    """Put a version in whose file holds its own name."""
    with registry.staging.open(1000) as staged:
        staged.write(f"file of {model_id}".encode())
        staged.seal()
        row = version(model_id, staged.sha256, age)
        registry.add(row, staged, b"compiled " + model_id.encode())
    return row


def test_what_was_added_comes_back(registry: Registry) -> None:
    older, newer = add(registry, "demo:v1", age=2), add(registry, "other:v1")
    assert registry.list() == [newer, older]
    assert registry.get("DEMO:V1") == older
    assert registry.artifact_path("demo:v1").read_bytes() == b"file of demo:v1"
    assert registry.compiled("demo:v1") == b"compiled demo:v1"
    assert Shelf(registry.root).list() == [newer, older]
    assert oct(registry.artifact_path("demo:v1").stat().st_mode)[-3:] == "600"


def test_bentoml_itself_sees_the_store(registry: Registry) -> None:
    add(registry, "demo:v1", age=1)
    add(registry, "demo:v2")
    store = ModelStore(registry.root / "bentoml" / "models")
    assert [str(item.tag) for item in store.list()] == ["demo:v1", "demo:v2"]
    found = bentoml.models.get("demo:latest", _model_store=store)
    assert (found.tag.version, found.info.labels["task"]) == ("v2", "spot_price")
    registry.delete("demo:v2")
    assert bentoml.models.get("demo:latest", _model_store=store).tag.version == "v1"


def test_a_taken_name_is_refused_and_keeps_its_file(registry: Registry) -> None:
    add(registry, "demo:v1")
    before = {path: path.read_bytes() for path in left_behind(registry)}
    with pytest.raises(ModelExists):
        add(registry, "demo:v1")
    assert {path: path.read_bytes() for path in left_behind(registry)} == before


def test_a_deleted_version_is_gone_and_its_name_free(registry: Registry) -> None:
    add(registry, "demo:v1")
    registry.delete("demo:v1")
    assert left_behind(registry) == []
    with pytest.raises(ModelNotFound):
        registry.delete("demo:v1")
    add(registry, "demo:v1")
    assert [row.model_id for row in registry.list()] == ["demo:v1"]


@pytest.mark.parametrize("model_id", ["demo:v2", "demo", "", ":", "..:..", "a/../demo:v1", "demo:v1/..", "demo:READY"])
def test_an_id_that_is_not_there(registry: Registry, model_id: str) -> None:
    add(registry, "demo:v1")
    with pytest.raises(ModelNotFound):
        registry.get(model_id)


def test_the_nearest_ids_are_named(registry: Registry) -> None:
    add(registry, "spot-demo:v1")
    with pytest.raises(ModelNotFound) as caught:
        registry.get("spot-dmo:v1")
    assert caught.value.nearest == ("spot-demo:v1",)


def test_a_folder_without_a_true_marker_is_not_listed(registry: Registry) -> None:
    add(registry, "demo:v1")
    marker = registry.artifact_path("demo:v1").with_name("READY")
    marker.write_text("another hash")
    assert registry.list() == []
    marker.unlink()
    assert registry.list() == []


def test_what_others_put_into_the_store_is_left_alone(registry: Registry) -> None:
    add(registry, "demo:v1")
    stray = registry.root / "bentoml" / "models" / "demo" / "half-copied"
    stray.mkdir()
    again = Registry(registry.root)
    add(again, "demo:v2", age=1)
    assert [row.model_id for row in again.list()] == ["demo:v1", "demo:v2"]
    assert stray.is_dir()


def test_a_changed_file_is_noticed(registry: Registry) -> None:
    add(registry, "demo:v1")
    assert registry.intact("demo:v1")
    registry.artifact_path("demo:v1").write_bytes(b"something else")
    assert not registry.intact("demo:v1")


def test_readers_see_whole_versions_only_while_a_writer_works(registry: Registry) -> None:
    shelf, stop, seen = Shelf(registry.root), threading.Event(), set[int]()
    broken: list[str] = []

    def read() -> None:
        while not stop.is_set():
            rows = shelf.list()
            seen.add(len(rows))
            broken.extend(row.model_id for row in rows if row.sha256 == "")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(5):
            add(registry, f"demo:v{number}")
        for number in range(5):
            registry.delete(f"demo:v{number}")
    finally:
        stop.set()
        reader.join()
    assert not broken
    assert seen <= set(range(6))


def test_a_sweep_leaves_a_running_upload_alone(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    with staging.open(100) as running:
        running.write(b"half")
        assert Staging(tmp_path).sweep() == 0
        running.write(b" and half")
        running.seal()
        assert running.path.read_bytes() == b"half and half"
    assert not running.folder.exists()


def test_a_sweep_removes_what_a_dead_process_held(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    orphan = staging.open(100)
    orphan.write(b"half")
    fcntl.flock(orphan._lock, fcntl.LOCK_UN)  # as when its process ends
    assert Staging(tmp_path).sweep() == 0  # the constructor has swept
    assert not orphan.folder.exists()
    orphan.discard()
