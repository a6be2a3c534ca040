"""Engines: what there is, what each one takes and gives, and which one decides with which config."""

import gradio as gr

from ui import theme
from ui.pages.panel import panel

LIST = """
<section class="co-panel" aria-labelledby="co-engines-title">
  <h2 id="co-engines-title">Decision engines</h2>
  <div id="co-engines-problem" class="co-problem" role="alert" hidden></div>
  <div class="co-scroll"><table class="co-table">
    <thead><tr><th scope="col">Engine</th><th scope="col">Version</th><th scope="col">Status</th></tr></thead>
    <tbody id="co-engines"></tbody></table></div>
</section>
"""

APPLY = """
<section class="co-panel" aria-labelledby="co-apply-title">
  <h2 id="co-apply-title">Choose and apply</h2>
  <div class="co-filters">
    <label class="co-field">Engine <select id="co-engine-choice"></select></label>
  </div>
  <p id="co-engine-description" class="co-note"></p>
  <div id="co-apply-problem" class="co-problem" role="alert" hidden></div>
  <form id="co-config" class="co-form" aria-label="Config"></form>
  <div class="co-actions">
    <button type="button" id="co-apply" class="co-primary">Apply</button>
    <span id="co-apply-state" class="co-note" role="status"></span>
  </div>
  <h3>What it is given</h3>
  <div id="co-input-schema" class="co-scroll"></div>
  <h3>What it answers</h3>
  <div id="co-output-schema" class="co-scroll"></div>
</section>
"""


def build() -> None:
    """Both panels."""
    with gr.Column(scale=1, min_width=theme.COLUMN_NARROW):
        panel(LIST, "co-engines-panel")
    with gr.Column(scale=2, min_width=theme.COLUMN_WIDE):
        panel(APPLY, "co-apply-panel")
