"""The house stands as designed: layers, openings, names and sizes of files, colours, no places of one machine."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("services", "engines", "gapfill", "ui", "examples", "bench", "tests", "scripts")
PYTHON = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

MAX_LINES = 300
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc"}

# Files that may be longer than MAX_LINES, each with its reason. A file that has become short enough must leave.
LONGER: dict[str, str] = {}

# The one place where colours are written down, and libraries that are served as they are.
COLOURS_LIVE_IN = ("ui/theme.py",)
THIRD_PARTY = re.compile(r"\.min\.|plotly")
COLOUR = re.compile(
    r"""(?<![&\w/])\#(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{6}|[0-9a-fA-F]{3,4})(?![\w-])|\b(?:rgba?|hsla?|oklch|oklab)\("""
)

# Folders that exist on one machine only; a path such as /tmp or /app is a convention of all machines, and /home/bentoml
# one of every image of a bento.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|home(?!/bentoml/)|root|Users)/[\w.-]+")
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".txt", ".js", ".css", ".html", ".json", ".cfg", ".example", ""}


def texts() -> list[Path]:
    """Every text file of the project, found without git, as a checkout may have been copied."""
    folders = [ROOT / folder for folder in (*ROOMS, "docs", "k8s", ".ci")]
    paths = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    return [path for path in paths if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def found_in(path: Path, pattern: re.Pattern[str]) -> list[str]:
    """Where the pattern is in a file, as file:line: text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [f"{relative(path)}:{n}: {hit.group()}" for n, line in enumerate(lines, 1) for hit in pattern.finditer(line)]


def opening_fault(source: str) -> str | None:
    """Why a file's opening is not a docstring whose first paragraph is one sentence; None when it is."""
    opening = ast.get_docstring(ast.parse(source))
    if not opening:
        return "has no docstring"
    sentence = opening.split("\n\n")[0].replace("\n", " ")
    if not sentence.endswith((".", ":")):
        return "does not open with a whole sentence"
    if re.search(r"[a-z)`]\. [A-Z]", sentence):
        return "opens with more than one sentence"
    return None


def test_imports_only_point_down() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout


def test_each_part_of_the_server_has_its_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    placed = {name.strip("( )") for layer in layers for name in layer.split("|")}
    parts = {f"services.{path.stem}" for path in (ROOT / "services").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"services.__init__", "services.__pycache__"} <= placed


def test_each_file_opens_with_one_sentence() -> None:
    faults = {relative(path): opening_fault(path.read_text(encoding="utf-8")) for path in PYTHON}
    assert {name: fault for name, fault in faults.items() if fault} == {}


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("x = 1\n", "has no docstring"),
        ('"""No end"""\n', "does not open with a whole sentence"),
        ('"""One thing. Then another."""\n', "opens with more than one sentence"),
        ('"""One thing.\n\nThen more. And more.\n"""\n', None),
        ('"""A price in USD, e.g. of m5.large."""\n', None),
    ],
)
def test_the_rule_about_openings(source: str, fault: str | None) -> None:
    assert opening_fault(source) == fault


def test_no_file_is_a_drawer_for_anything() -> None:
    assert [relative(path) for path in PYTHON if path.stem.lower() in FORBIDDEN_NAMES] == []


def test_files_stay_short() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PYTHON}
    long = {name: lines for name, lines in lengths.items() if lines > MAX_LINES}
    assert {name: lines for name, lines in long.items() if name not in LONGER} == {}
    assert LONGER.keys() <= long.keys(), "short enough now: take it off the list"


def test_colours_are_written_in_the_theme_alone() -> None:
    files = [path for path in (ROOT / "ui").rglob("*") if path.suffix in {".py", ".css", ".js", ".html", ".svg"}]
    files = [path for path in files if relative(path) not in COLOURS_LIVE_IN and not THIRD_PARTY.search(path.name)]
    assert [hit for path in files for hit in found_in(path, COLOUR)] == []


@pytest.mark.parametrize(
    "text", ["color: #fff", "'#0A1B2C'", "#11223344;", "rgb(1, 2, 3)", "rgba(0 0 0 / 5%)", "hsl(1"]
)
def test_the_rule_about_colours_finds(text: str) -> None:
    assert COLOUR.search(text)


@pytest.mark.parametrize("text", ["ray#54509", "/ui#code=1", "#chart-1", "&#8226;", "# add", "#live", "rgb_of(x)"])
def test_the_rule_about_colours_leaves(text: str) -> None:
    assert not COLOUR.search(text)


def test_no_place_of_one_machine_is_mentioned() -> None:
    files = [path for path in texts() if path != Path(__file__)]
    assert [hit for path in files for hit in found_in(path, MACHINE_PATH)] == []
