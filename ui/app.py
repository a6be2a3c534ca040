"""The web page as an application of its own, to be mounted or served under /ui.

Gradio lays the page out; its server knows no token and calls nothing. The page's scripts (static/) are a client of the
HTTP API like any other, signed in by a cookie.
"""

import asyncio
import os
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

from ui import theme
from ui.pages import engines, gap_filler, live, models, session
from ui.shell import Shell

STATIC = Path(__file__).parent / "static"
BASE = "static/cloudoptim"  # beside Gradio's own /static
PLOTLY = f"plotly-{version('plotly')}.min.js"
TITLE = "CloudOptim ML Server"
PAGES = {"live": live, "models": models, "engines": engines, "gap-filler": gap_filler}
_A_YEAR = "public, max-age=31536000, immutable"


def build_ui() -> FastAPI:
    """The application, to be served under /ui; it carries no data, so anybody may have it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_in_a_loop())  # where none runs, Gradio makes event loops and leaves them open
    return _build()


async def _in_a_loop() -> FastAPI:
    return _build()


def _build() -> FastAPI:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route(f"/{BASE}/theme.css", _theme, include_in_schema=False)
    app.add_api_route(f"/{BASE}/icon.svg", _icon, include_in_schema=False)
    app.add_api_route(f"/{BASE}/{PLOTLY}", _plotly, include_in_schema=False)
    app.mount(f"/{BASE}", StaticFiles(directory=STATIC))
    gr.mount_gradio_app(
        app,
        _blocks(),
        path="/",
        ssr_mode=False,
        footer_links=[],
        run_history=False,
        show_error=False,
        enable_monitoring=False,
        pwa=False,
        theme=theme.gradio_theme(),
    )
    app.add_middleware(Shell, head=_head())
    return app


def _blocks() -> gr.Blocks:
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
        session.build()
        with gr.Column(elem_id="co-work", elem_classes="co-signed-in"):
            for name, page in PAGES.items():
                with gr.Row(equal_height=True, elem_id=f"co-page-{name}", elem_classes="co-page"):
                    page.build()
    return blocks


def _head() -> str:
    """What Gradio would add with a script; in the HTML from the start, nothing flickers."""
    return (
        f'<link rel="icon" type="image/svg+xml" href="{BASE}/icon.svg">'
        f'<link rel="stylesheet" href="{BASE}/theme.css">'
        f'<link rel="stylesheet" href="{BASE}/page.css">'
        f'<script type="module" src="{BASE}/main.js" data-plotly="{BASE}/{PLOTLY}"></script>'
    )


def _theme() -> Response:
    return Response(theme.custom_properties(), media_type="text/css", headers={"Cache-Control": "no-cache"})


def _icon() -> Response:
    return Response(theme.icon(), media_type="image/svg+xml", headers={"Cache-Control": "no-cache"})


def _plotly() -> FileResponse:
    """plotly.js as it ships in the plotly package; its name carries the version, so that it can be kept."""
    path = Path(str(resources.files("plotly") / "package_data" / "plotly.min.js"))
    return FileResponse(path, media_type="text/javascript", headers={"Cache-Control": _A_YEAR})
