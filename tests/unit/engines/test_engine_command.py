"""`cloudoptim engine`: what an author sees, line by line, and how it exits."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from engines.command import app
from tests.unit.engines.engine_files import engine_file

RUN = CliRunner()


def test_new_writes_once(tmp_path: Path) -> None:
    done = RUN.invoke(app, ["new", "night-owl.v2", "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert 'name = "night-owl.v2"' in (tmp_path / "night_owl_v2.py").read_text()
    assert RUN.invoke(app, ["new", "night-owl.v2", "--folder", str(tmp_path)]).exit_code == 2
    assert RUN.invoke(app, ["new", "Night Owl", "--folder", str(tmp_path)]).exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["night_owl_v2.py"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (["return (1"], ["bad.py:17: it is not Python: '(' was never closed", "the checks were not run"]),
        (["return given.nothing"], ["FAIL", "bad.py:17: check time", "AttributeError", "1 of 8 checks passed"]),
    ],
    ids=["unreadable", "raises"],
)
def test_check_says_the_line_and_exits_with_1(tmp_path: Path, body: list[str], words: list[str]) -> None:
    file = tmp_path / "bad.py"
    file.write_bytes(engine_file(*body))
    done = RUN.invoke(app, ["check", str(file)])
    assert done.exit_code == 1
    assert [word for word in words if word not in done.output] == [], done.output


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert RUN.invoke(app, ["check", str(tmp_path / "nothing.py")]).exit_code == 2
