"""Live: predictions against actuals of one pool, and the decisions as they are made."""

import gradio as gr

from ui import theme
from ui.pages.panel import panel

CHART = """
<section class="co-panel" aria-labelledby="co-live-title">
  <div class="co-title-row"><h2 id="co-live-title">Live</h2>
    <div class="co-filters">
      <label class="co-field">Region <select id="co-region"></select></label>
      <label class="co-field">Instance type <select id="co-type"></select></label>
      <label class="co-field">Zone <select id="co-zone"></select></label>
      <label class="co-field">Range <select id="co-range"><option value="2">2 days</option>
        <option value="7" selected>7 days</option><option value="30">30 days</option></select></label>
    </div></div>
  <div id="co-live-problem" class="co-problem" role="alert" hidden></div>
  <p id="co-live-empty" class="co-empty" hidden></p>
  <div id="co-chart" class="co-chart"></div>
  <p class="co-figures" aria-live="off"><span id="co-now-price"></span><span id="co-now-predicted"></span>
    <span id="co-now-risk"></span><span id="co-live-count"></span></p>
</section>
"""

DECISIONS = """
<section class="co-panel" aria-labelledby="co-decisions-title">
  <h2 id="co-decisions-title">Decisions</h2>
  <div id="co-decisions-problem" class="co-problem" role="alert" hidden></div>
  <p id="co-decisions-empty" class="co-empty">No decision yet. Register a cluster with
    <code>PUT clusters/{cluster_id}</code>, and the next tick decides for it.</p>
  <ol id="co-decisions" class="co-list"></ol>
</section>
"""


def build() -> None:
    """Both panels."""
    with gr.Column(scale=2, min_width=theme.COLUMN_WIDE):
        panel(CHART, "co-live-panel")
    with gr.Column(scale=1, min_width=theme.COLUMN_NARROW):
        panel(DECISIONS, "co-decisions-panel")
