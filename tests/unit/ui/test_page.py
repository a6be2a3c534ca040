"""The page's application: what it serves, what it keeps from Gradio, and that all looks come from the theme."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette

from services.composition.page import with_page
from ui import theme
from ui.app import build_ui

UI = Path(__file__).parents[3] / "ui"
LENGTH = re.compile(r"(?<![\w-])\d*\.?\d+(?:px|rem|em|pt|ch|vw|vh|ms|s)\b")
FONT = re.compile(r"font-family:(?!\s*var\()|font(?:-size|-weight)?:\s*\d")
TOKEN = re.compile(r"--co-([a-z0-9-]+)|token\(\"([a-z0-9-]+)\"\)|line\(\"([a-z0-9-]+)\"")


@pytest.fixture(scope="module")
def served() -> Starlette:
    """The page under /ui beside a small API."""
    api = FastAPI()
    api.add_api_route("/healthz", lambda: {"status": "ok"})
    return with_page(api, build_ui)


def ask(served: Starlette, method: str, path: str) -> httpx.Response:
    async def within() -> httpx.Response:
        transport = httpx.ASGITransport(served)
        async with (
            served.router.lifespan_context(served),
            httpx.AsyncClient(transport=transport, base_url="http://here:1") as client,
        ):
            return await client.request(method, path)

    return asyncio.run(within())


def test_the_page_and_the_api_stand_side_by_side(served: Starlette) -> None:
    assert ask(served, "GET", "/healthz").json() == {"status": "ok"}
    page = ask(served, "GET", "/ui/")
    assert page.status_code == 200
    assert "static/cloudoptim/main.js" in page.text
    slash = ask(served, "GET", "/ui")
    assert (slash.status_code, slash.headers["location"]) == (307, "/ui/")


def test_its_policy_permits_exactly_its_own_inline_scripts(served: Starlette) -> None:
    page = ask(served, "GET", "/ui/")
    policy = page.headers["content-security-policy"]
    inline = re.findall(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", page.text, re.DOTALL)
    hashes = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline}
    assert hashes
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe-inline" not in scripts
    assert "default-src 'none'" in policy


def test_the_page_names_no_other_host(served: Starlette) -> None:
    hosts = set(re.findall(r"https?://([^/\"'\s<]+)", ask(served, "GET", "/ui/").text))
    assert hosts <= {"here:1"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ui/static/cloudoptim/main.js", 200),
        ("GET", "/ui/static/cloudoptim/icon.svg", 200),
        ("GET", "/ui/theme.css", 200),
        ("POST", "/ui/gradio_api/upload", 405),
        ("POST", "/ui/gradio_api/queue/join", 405),
        ("GET", "/ui/gradio_api/info", 404),
        ("GET", "/ui/gradio_api/proxy=https://example.com/", 404),
        ("GET", "/ui/gradio_api/file=/etc/passwd", 404),
        ("GET", "/ui/config", 404),
        ("GET", "/ui/static/cloudoptim/../../app.py", 404),
        ("GET", "/ui/static/cloudoptim/%2e%2e/app.py", 404),
    ],
)
def test_only_what_draws_the_page_is_served(served: Starlette, method: str, path: str, status: int) -> None:
    assert ask(served, method, path).status_code == status


def test_plotly_comes_from_its_package_and_is_kept_by_browsers(served: Starlette) -> None:
    found = re.search(r'data-plotly="([^"]+)"', ask(served, "GET", "/ui/").text)
    assert found
    plotly = ask(served, "GET", f"/ui/{found[1]}")
    assert plotly.headers["content-type"].startswith("text/javascript")
    assert "immutable" in plotly.headers["cache-control"]
    assert len(plotly.content) > 1_000_000


def test_the_api_keeps_its_lifespan() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        seen.append("opened")
        yield
        seen.append("closed")

    ask(with_page(FastAPI(lifespan=lifespan), FastAPI), "GET", "/")
    assert seen == ["opened", "closed"]


def test_lengths_and_fonts_are_written_in_the_theme_alone() -> None:
    sheets = [*(UI / "static").glob("*.css")]
    markup = [path for path in (*UI.rglob("*.py"), *(UI / "static").glob("*.js")) if path.name != "theme.py"]
    found = [
        f"{path.name}: {hit.group()}"
        for path in sheets
        for rule in (LENGTH, FONT)
        for hit in rule.finditer(re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL))
    ]
    found += [
        f"{path.name}: {hit.group()}" for path in markup for hit in re.finditer(r"\d(?:px|rem)\b", path.read_text())
    ]
    assert found == []


def test_every_token_that_is_used_is_declared_and_the_other_way_round() -> None:
    declared = set(re.findall(r"--co-([a-z0-9-]+):", theme.custom_properties()))
    files = [*(UI / "static").glob("*.css"), *(UI / "static").glob("*.js")]
    used = {next(filter(None, hit)) for path in files for hit in TOKEN.findall(path.read_text())}
    assert used == declared


@pytest.mark.parametrize("tokens", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("ink", "surface"),
        ("muted", "surface"),
        ("muted", "ground"),
        ("on-accent", "accent"),
        ("accent", "surface"),
        ("good", "surface"),
        ("warn", "warn-ground"),
        ("bad", "bad-ground"),
    ],
)
def test_text_stands_out_from_its_ground(tokens: dict[str, str], ink: str, ground: str) -> None:
    """WCAG 2.2 AA for text: a contrast of at least 4.5."""
    lighter, darker = sorted((luminance(tokens[ink]), luminance(tokens[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, as WCAG defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_what_the_address_says_of_a_view_is_not_for_gradio(served: Starlette) -> None:
    assert ask(served, "GET", "/ui/?view=live&page=nowhere&region=us-east-1").status_code == 200
