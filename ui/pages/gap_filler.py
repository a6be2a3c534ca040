"""The gap filler: what is missing since trained_until, and filling it with progress from work done."""

import gradio as gr

from ui import theme
from ui.pages.panel import panel

MARKUP = """
<section class="co-panel" aria-labelledby="co-gap-title">
  <h2 id="co-gap-title">Gap filler</h2>
  <div class="co-actions">
    <button type="button" id="co-analyze" class="co-secondary">Analyze gap</button>
    <button type="button" id="co-fill" class="co-primary">Fill gap</button>
    <button type="button" id="co-fill-cancel" class="co-quiet" hidden>Cancel</button>
  </div>
  <div id="co-gap-problem" class="co-problem" role="alert" hidden></div>
  <div id="co-analysis" aria-live="polite"><p class="co-empty">Analyze shows what is missing between a model's
    <code>trained_until</code> and now.</p></div>
  <div id="co-fill-progress" hidden>
    <h3 id="co-fill-title"></h3>
    <div id="co-fill-bar" class="co-bar" role="progressbar" aria-label="Fill" aria-valuemin="0" aria-valuemax="100">
      <div></div></div>
    <p class="co-figures"><span><b id="co-fill-percent">0 %</b></span><span id="co-fill-records"></span>
      <span id="co-fill-eta"></span></p>
  </div>
</section>
"""


def build() -> None:
    """The panel."""
    with gr.Column(scale=1, min_width=theme.COLUMN_NARROW):
        panel(MARKUP, "co-gap-panel")
