"""What is said of an uploaded engine's text without running it: every problem with its line."""

import pytest

from engines.errors import EngineRefused, Problem
from engines.source import MOST_BYTES, inspect
from engines.starting_file import starting_file
from tests.unit.engines.engine_files import HEAD, engine_file


def problems(text: bytes | str) -> list[tuple[int | None, str]]:
    with pytest.raises(EngineRefused) as caught:
        inspect(text if isinstance(text, bytes) else text.encode())
    assert caught.value.stage == "source"
    assert all(isinstance(problem, Problem) for problem in caught.value.problems)
    return [(line, what) for line, what in caught.value.problems]


def test_a_good_file_passes_and_says_which_class_and_models() -> None:
    found = inspect(
        engine_file().replace(b"    class Config", b'    models = ("risk:v2", "spot_price")\n\n    class Config')
    )
    assert (found.class_name, found.models) == ("Engine", ("risk:v2", "spot_price"))


@pytest.mark.parametrize("name", ["night-owl", "a", "x.y_z-1", "9lives"])
def test_a_starting_file_passes(name: str) -> None:
    assert inspect(starting_file(name).encode()).class_name


def test_no_starting_file_for_what_is_no_name() -> None:
    for name in ("", "Big", "a/b", "-a", "x" * 64):
        with pytest.raises(ValueError):
            starting_file(name)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("import BaseModel, Field", "import BaseModel, Field\nimport requests", 4, "imports requests"),
        ("import BaseModel, Field", "import BaseModel, Field\nfrom services.settings import Settings", 4, "services"),
        ("import BaseModel, Field", "import BaseModel, Field\nfrom engines import host", 4, "engines.host"),
        ("import BaseModel, Field", "import BaseModel, Field\nfrom . import x", 4, "imports ."),
        ("import BaseModel, Field", "import BaseModel, Field\nCONTRACT = 2", 4, "contract 2"),
        ('name = "tested"', "name = str(1)", 9, "name must be a string literal"),
        ('version = "1"', 'version = " "', 10, "version must be"),
        ('    description = "Holds everything, and something more."\n', "", 8, "no description"),
        ("class Config(BaseModel)", "class Settings(BaseModel)", 8, "no Config"),
        ("def decide(self, given", "async def decide(self, given", 16, "not async"),
        ("def decide(self, given", "def decide(self, other, given", 16, "decide takes self and the input"),
        ("def decide(self, given", "def choose(self, given", 1, "no class has a method decide"),
        ('    name = "tested"', '    models = [f()]\n    name = "tested"', 9, "models must be"),
        ("return hold_everything(given)", "return (", 17, "never closed"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else str(value),
)
def test_each_problem_has_its_line(old: str, new: str, line: int, words: str) -> None:
    text = engine_file().decode()
    assert old in text
    found = problems(text.replace(old, new))
    assert any(at == line and words in what for at, what in found), found


def test_every_problem_is_told_at_once_in_the_order_of_lines() -> None:
    text = HEAD.replace("import BaseModel, Field", "import BaseModel, Field, x\nimport yaml").replace('"tested"', '""')
    found = problems(text + "        return None\n")
    assert [line for line, _ in found] == sorted(line or 0 for line, _ in found)
    assert len(found) == 2


def test_two_engines_in_one_file() -> None:
    text = engine_file().decode()
    assert "2 do: Engine, Engine" in problems(text + text)[-1][1]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\0",
        b"x = '\xff'",
        b"x = " + b"9" * 10_000,
        b"x = " + b"-" * 100_000 + b"1",
        b"(" * 100_000,
        b"[" * 3_000 + b"]" * 3_000,
        b"x = a" + b".b" * 100_000,
        b"x = 1" + b"+1" * 100_000,
        b"x = " + b"lambda:" * 50_000 + b"1",
        b"#" * (MOST_BYTES + 1),
    ],
    ids=lambda text: f"{text[:8]!r}...{len(text)}",
)
def test_texts_made_to_break_a_parser_are_refused(text: bytes) -> None:
    assert problems(text)


def test_an_odd_escape_is_no_problem() -> None:
    assert inspect(engine_file("x = '\\d'", "return hold_everything(given)")).class_name == "Engine"
