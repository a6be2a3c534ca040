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
  <form id="co-engine-form" class="co-form" hidden>
    <h3 class="co-wide">Upload an engine</h3>
    <label class="co-field co-wide">Python file <input id="co-engine-file" type="file" accept=".py" required></label>
    <label class="co-field">Engine name <input id="co-engine-name" type="text" required maxlength="63"
      pattern="[a-z0-9][a-z0-9._\\-]{0,62}" title="Lower-case letters, digits, dot, dash, underscore"></label>
    <label class="co-field">Engine version <input id="co-engine-version" type="text" required maxlength="63"
      placeholder="v1"
      pattern="[a-z0-9][a-z0-9._\\-]{0,62}" title="Lower-case letters, digits, dot, dash, underscore"></label>
    <label class="co-field co-wide">Description, optional
      <input id="co-engine-about" type="text" maxlength="500"></label>
    <div class="co-actions"><button type="submit" class="co-primary">Upload engine</button>
      <span id="co-engine-state" class="co-note" role="status"></span></div>
  </form>
  <div id="co-engine-problem" class="co-problem" role="alert" hidden></div>
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
  <div id="co-trial">
    <h3>Try it without applying</h3>
    <div class="co-filters">
      <label class="co-field">Input <select id="co-trial-input"><option value="sample">a sample</option>
        <option value="live">the clusters as of now</option><option value="own">own input</option></select></label>
    </div>
    <label class="co-field" id="co-trial-own" hidden>Input as JSON
      <textarea id="co-trial-text" rows="8" spellcheck="false"></textarea></label>
    <div class="co-actions"><button type="button" id="co-try" class="co-secondary">Test</button>
      <span id="co-trial-state" class="co-note" role="status"></span></div>
    <div id="co-trial-result" class="co-beside"></div>
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
