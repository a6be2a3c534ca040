"""The README's examples, run against a server: each answer has the form that the README shows."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.running_server import RunningServer

# Whole servers start and stop here, on whatever machine this is.
pytestmark = pytest.mark.timeout(600)

README = Path(__file__).parents[2] / "README.md"
ADDRESS = "127.0.0.1:8001"
LEFT_OUT = "…"


def console_examples() -> list[tuple[str, str]]:
    """(command, answer) of every `$` line in the README's console blocks."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = part.partition("\n")
            found.append((command, answer))
    return found


EXAMPLES = console_examples()


def assert_like(shown: Any, real: Any, where: str) -> None:
    """What the README shows is there, of the same kind; texts and numbers may differ, names may not."""
    if shown == LEFT_OUT:
        return
    if isinstance(shown, dict):
        assert isinstance(real, dict), where
        for name, value in shown.items():
            assert name in real, f"{where}.{name}"
            assert_like(value, real[name], f"{where}.{name}")
    elif isinstance(shown, list):
        assert isinstance(real, list), where
        if shown:
            assert real, where
            assert_like(shown[0], real[0], f"{where}[0]")
    elif isinstance(shown, (int, float)) and not isinstance(shown, bool):
        assert isinstance(real, (int, float)), f"{where}: {real!r}"
    elif shown is not None:
        assert type(shown) is type(real), f"{where}: {real!r}"


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_a_curl_example_answers_as_shown(server: RunningServer, number: int) -> None:
    command, answer = EXAMPLES[number]
    assert ADDRESS in command
    here = command.replace(ADDRESS, server.url.removeprefix("http://"))
    done = subprocess.run(
        ["bash", "-c", here], env={**os.environ, "TOKEN": server.token}, capture_output=True, text=True, check=True
    )
    assert_like(json.loads(answer), json.loads(done.stdout), command[:80])


def test_the_python_example_prints_predictions(server: RunningServer) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    here = block.replace(ADDRESS, server.url.removeprefix("http://"))
    done = subprocess.run(
        [sys.executable, "-c", here],
        env={**os.environ, "TOKEN": server.token, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["hello", "predictions"]


def test_every_page_that_is_linked_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
