"""The docs are complete: every route, error, metric and dependency has its line, and every link leads somewhere."""

import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from fastapi.routing import APIWebSocketRoute
from prometheus_client import CollectorRegistry
from starlette.routing import Route

from services.api.app import create_app
from services.api.gate import rule_of
from services.api.house import House
from services.api.problem_table import TABLE
from services.release import RELEASE
from services.telemetry import Metrics

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
# Said where no error type is involved: a body that is no JSON, a failure of ours, and what HTTP itself knows.
UNTABLED = {"invalid-json": 400, "internal": 500} | {
    status.phrase.lower().replace(" ", "-"): int(status)
    for status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
}
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
# Packages come from wherever the user's own tools are told to look.
PACKAGE_INDEX = re.compile(
    r"pypi\.org|pythonhosted\.org|index-url|registry\.npmjs|https?://\S*/simple\b", re.IGNORECASE
)


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    """The cells of the lines of a page's tables that begin with a word of code."""
    lines = [line for line in page(name).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@asynccontextmanager
async def never_opened() -> AsyncIterator[House]:
    """The application is looked at here, not started."""
    yield pytest.fail("opened")


def routes() -> set[tuple[str, str, str]]:
    """(method, path, role) of every route of the application."""
    found: set[tuple[str, str, str]] = set()
    for route in create_app(never_opened).router.routes:
        assert isinstance(route, (Route, APIWebSocketRoute)), route
        rule = rule_of(route)
        assert rule is not None, f"{route.path} says nothing of who may use it"
        methods = {"WS"} if isinstance(route, APIWebSocketRoute) else set(route.methods or ()) - {"HEAD"}
        found |= {(method, route.path, rule[0] or "none") for method in methods}
    return found


def test_every_route_has_its_line_with_its_role() -> None:
    written = [(*cells[0].strip("`").split(" "), cells[1]) for cells in rows("docs/api.md")]
    assert len(written) == len(set(written))
    assert set(written) == routes()


def test_every_problem_type_has_its_line_with_its_status() -> None:
    known = {(problem.slug, problem.status) for problem in TABLE.values()} | set(UNTABLED.items())
    written = [(cells[0].strip("`"), int(cells[1])) for cells in rows("docs/errors.md")]
    assert len(written) == len(set(written))
    assert set(written) == known


def test_every_problem_says_what_it_means_and_what_to_do() -> None:
    assert [cells[0] for cells in rows("docs/errors.md") if len(cells) != 4 or not all(cells)] == []


def test_every_metric_has_its_line() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    known = {(family.name, family.type) for family in registry.collect()}
    assert {(cells[0].strip("`"), cells[1]) for cells in rows("docs/metrics.md")} == known


def test_every_direct_dependency_has_its_reason() -> None:
    project = tomllib.loads(page("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    named = {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in wanted}
    reasons = {cells[0].strip("`"): cells[1] for cells in rows("docs/decisions/0002-dependencies.md")}
    assert reasons.keys() == named
    assert [name for name, reason in reasons.items() if not reason.endswith(".")] == []


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads(page("pyproject.toml"))["project"]
    for file, wanted in (
        ("requirements.txt", project["dependencies"]),
        ("requirements-dev.txt", project["optional-dependencies"]["dev"]),
    ):
        pinned = {line.partition("==")[0].lower() for line in page(file).splitlines() if "==" in line}
        assert {re.split(r"[\[<>=~! ]", name)[0].lower() for name in wanted} <= pinned, file


@pytest.mark.parametrize("decision", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda path: path.stem)
def test_a_decision_gives_its_context_and_its_consequence(decision: Path) -> None:
    text = decision.read_text(encoding="utf-8")
    assert re.match(rf"# {decision.stem[:4]}\b", text), "the title begins with the number"
    assert [part for part in ("Context.", "Decision.", "Consequence.") if part not in text] == []


def test_no_two_decisions_have_one_number() -> None:
    numbers = [path.stem[:4] for path in (ROOT / "docs" / "decisions").glob("*.md")]
    assert len(numbers) == len(set(numbers))


def test_links_between_pages_lead_somewhere() -> None:
    links = [(path, link) for path in PAGES for link in LINK.findall(path.read_text(encoding="utf-8"))]
    assert len(links) > 10
    assert [(p.name, link) for p, link in links if "://" not in link and not (p.parent / link).exists()] == []


def test_files_that_pages_name_are_there() -> None:
    named = re.compile(r"`((?:services|engines|gapfill|ui|tests|docs|k8s|scripts)/[\w./-]+\.\w+)`")
    missing = [(p.name, name) for p in PAGES for name in named.findall(p.read_text(encoding="utf-8"))]
    assert [(where, name) for where, name in missing if not (ROOT / name).is_file()] == []


def test_every_part_of_the_server_is_in_the_architecture() -> None:
    text = page("ARCHITECTURE.md")
    rooms = {path.name for path in (ROOT / "services").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert [room for room in sorted(rooms) if f"services/{room}" not in text] == []


def test_the_release_has_its_entry() -> None:
    assert f"## [{RELEASE}]" in page("CHANGELOG.md")


def test_no_package_index_is_named() -> None:
    files = [*PAGES, *ROOT.glob("*.toml"), *ROOT.glob("*.txt"), *ROOT.glob("*.yaml"), ROOT / "Makefile"]
    files += [path for folder in ("scripts", "k8s", ".ci") for path in (ROOT / folder).rglob("*") if path.is_file()]
    assert [path.name for path in files if PACKAGE_INDEX.search(path.read_text(encoding="utf-8"))] == []
