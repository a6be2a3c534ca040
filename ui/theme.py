"""All colour, type and spacing of the pages: change this file to match another design system.

The tokens become CSS custom properties (`--co-…`), which the style sheet and the scripts read, and a Gradio theme. A
test finds no colour, length or font anywhere else in the room.
"""

from collections.abc import Mapping
from typing import Any

import gradio as gr

LIGHT: dict[str, str] = {
    "ground": "#f5f6f8",
    "surface": "#ffffff",
    "sunken": "#eef1f4",
    "ink": "#1a2430",
    "muted": "#566270",
    "line": "#dde2e8",
    "accent": "#0b6a8f",
    "accent-strong": "#085573",
    "on-accent": "#ffffff",
    "good": "#17744a",
    "warn": "#7a4f01",
    "warn-ground": "#fdf1d3",
    "bad": "#b02a1f",
    "bad-ground": "#fdeceb",
    "series-actual": "#1a2430",
    "series-predicted": "#0b7fab",
    "series-risk": "#a8570b",
    "grid": "#e6eaee",
}
DARK: dict[str, str] = {
    "ground": "#0f141a",
    "surface": "#161d25",
    "sunken": "#1e2731",
    "ink": "#e5eaf0",
    "muted": "#9aa7b4",
    "line": "#2a343f",
    "accent": "#5cb8dc",
    "accent-strong": "#8accea",
    "on-accent": "#08202b",
    "good": "#4fc48c",
    "warn": "#eac15c",
    "warn-ground": "#33290f",
    "bad": "#f48a80",
    "bad-ground": "#3a1c1a",
    "series-actual": "#e5eaf0",
    "series-predicted": "#5cb8dc",
    "series-risk": "#e6a15a",
    "grid": "#232d37",
}
FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "DejaVu Sans", "sans-serif")
FONT_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")
TYPE: dict[str, str] = {
    "text-small": "12px",
    "text": "13.5px",
    "text-large": "15px",
    "text-title": "18px",
    "leading": "1.5",
    "weight-normal": "400",
    "weight-strong": "600",
}
SPACE: dict[str, str] = {
    "space-1": "4px",
    "space-2": "8px",
    "space-3": "12px",
    "space-4": "16px",
    "space-5": "24px",
    "space-6": "40px",
    "hairline": "1px",
    "focus": "2px",
    "radius": "6px",
    "radius-round": "999px",
    "bar": "8px",
    "dot": "9px",
    "control": "34px",
    "page": "1440px",
    "dialog": "420px",
    "column": "250px",
    "chart": "430px",
    "list": "430px",
    "measure": "64ch",
}
# In pixels: from which width on two panels stand side by side.
COLUMN_WIDE = 420
COLUMN_NARROW = 340
COLUMN_FULL = 900  # a row of its own
DARK_CLASS = "dark"  # what Gradio puts on <body>
# One quiet movement, and none for those who asked for none.
MOTION: dict[str, str] = {"motion": "160ms"}


def _fonts(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' if " " in name else name for name in names)


def _block(selector: str, tokens: Mapping[str, str]) -> str:
    lines = "".join(f"  --co-{name}: {value};\n" for name, value in tokens.items())
    return f"{selector} {{\n{lines}}}\n"


def custom_properties() -> str:
    """The style sheet that declares every token, light and dark."""
    fonts = {"font": _fonts(FONT), "font-mono": _fonts(FONT_MONO)}
    return (
        _block(":root", {**LIGHT, "scheme": "light", **fonts, **TYPE, **SPACE, **MOTION})
        + _block(f"body.{DARK_CLASS}", {**DARK, "scheme": "dark"})
        + "@media (prefers-reduced-motion: reduce) {\n"
        + _block(":root", {"motion": "0ms"})
        + "}\n"
    )


def gradio_theme() -> Any:
    """The same tokens for what Gradio itself draws; no font is fetched from anywhere."""
    return gr.themes.Base(font=list(FONT), font_mono=list(FONT_MONO)).set(
        body_background_fill=LIGHT["ground"],
        body_background_fill_dark=DARK["ground"],
        body_text_color=LIGHT["ink"],
        body_text_color_dark=DARK["ink"],
        body_text_color_subdued=LIGHT["muted"],
        body_text_color_subdued_dark=DARK["muted"],
        body_text_size=TYPE["text"],
        block_background_fill=LIGHT["surface"],
        block_background_fill_dark=DARK["surface"],
        border_color_primary=LIGHT["line"],
        border_color_primary_dark=DARK["line"],
        color_accent=LIGHT["accent"],
        layout_gap=SPACE["space-4"],
    )


def icon() -> str:
    """The page's icon as SVG: a price line and where it is predicted to go."""
    stroke = 'fill="none" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        f'<rect width="32" height="32" rx="7" fill="{LIGHT["accent"]}"/>'
        f'<path d="M5 20h6v-7h6v4" {stroke} stroke="{LIGHT["on-accent"]}"/>'
        f'<path d="M17 17l5-3 5-5" {stroke} stroke="{DARK["accent-strong"]}" stroke-dasharray="1 5"/></svg>'
    )
