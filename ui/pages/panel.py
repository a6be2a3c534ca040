"""A panel: fixed markup in the page that a script fills; nothing of a user's is ever put into it here."""

import gradio as gr


def panel(markup: str, elem_id: str) -> None:
    """Put `markup` where Gradio stands in its layout, without any of Gradio's own dress."""
    gr.HTML(markup, elem_id=elem_id, js_on_load=None, apply_default_css=False, container=False, padding=False)
