"""The gap filler: what is missing since trained_until, filling it, progress from work done, and the fills so far."""

import gradio as gr

from ui import theme
from ui.pages.panel import panel

ANALYSIS = """
<section class="co-panel" aria-labelledby="co-gap-title">
  <h2 id="co-gap-title">The gap</h2>
  <div class="co-actions"><button type="button" id="co-analyze" class="co-secondary">Analyze gap</button></div>
  <div id="co-gap-problem" class="co-problem" role="alert" hidden></div>
  <div id="co-analysis" aria-live="polite"><p class="co-empty">Analyze shows what is missing between a model's
    <code>trained_until</code> and now.</p></div>
</section>
"""

FILL = """
<section class="co-panel" aria-labelledby="co-fill-panel-title">
  <h2 id="co-fill-panel-title">Fill</h2>
  <div id="co-fill-order" hidden>
    <div class="co-form">
      <fieldset class="co-picker"><legend>Regions</legend>
        <label class="co-field">Search regions <input id="co-pick-regions" type="search" autocomplete="off"></label>
        <ul id="co-regions" class="co-choices"></ul></fieldset>
      <fieldset class="co-picker"><legend>Instance types</legend>
        <label class="co-field">Search instance types
          <input id="co-pick-types" type="search" autocomplete="off"></label>
        <ul id="co-types" class="co-choices"></ul></fieldset>
    </div>
    <p><b id="co-fill-span">Fill missing data</b> <span id="co-fill-estimate" class="co-note"></span></p>
    <div class="co-actions"><button type="button" id="co-fill" class="co-primary">Fill gap</button></div>
  </div>
  <div id="co-fill-problem" class="co-problem" role="alert" hidden></div>
  <div id="co-fill-progress" hidden>
    <h3 id="co-fill-title"></h3>
    <div id="co-fill-bar" class="co-bar" role="progressbar" aria-label="Fill" aria-valuemin="0" aria-valuemax="100">
      <div></div></div>
    <p class="co-figures"><span><b id="co-fill-percent">0 %</b></span><span id="co-fill-records"></span>
      <span id="co-fill-rate"></span><span id="co-fill-eta"></span></p>
    <dl id="co-fill-regions" class="co-bars"></dl>
    <ul id="co-fill-errors" class="co-note"></ul>
    <div class="co-actions"><button type="button" id="co-fill-cancel" class="co-quiet" hidden>Cancel</button>
      <button type="button" id="co-fill-retry" class="co-secondary" hidden>Retry failed</button></div>
  </div>
</section>
"""

HISTORY = """
<section class="co-panel" aria-labelledby="co-fills-title">
  <h2 id="co-fills-title">Fills so far</h2>
  <div id="co-fills-problem" class="co-problem" role="alert" hidden></div>
  <div class="co-scroll"><table class="co-table">
    <thead><tr><th scope="col">Fill</th><th scope="col">Ordered by</th><th scope="col">What</th>
      <th scope="col">Began</th><th scope="col">Took</th><th scope="col">Records</th>
      <th scope="col">Result</th></tr></thead>
    <tbody id="co-fills"></tbody></table></div>
  <p id="co-fills-empty" class="co-empty" hidden>Nothing was filled yet. Choose above and press Fill gap.</p>
  <form id="co-import-form" class="co-form" hidden>
    <label class="co-field co-wide">Import price history (CLI JSON, TSV, CSV, Parquet), for what AWS no longer has
      <input id="co-import-file" type="file" accept=".json,.tsv,.csv,.parquet" required></label>
    <div class="co-actions"><button type="submit" class="co-secondary">Import</button>
      <span id="co-import-state" class="co-note" role="status"></span></div>
  </form>
</section>
"""


def build() -> None:
    """The three panels."""
    with gr.Column(scale=1, min_width=theme.COLUMN_NARROW):
        panel(ANALYSIS, "co-gap-panel")
    with gr.Column(scale=2, min_width=theme.COLUMN_WIDE):
        panel(FILL, "co-fill-panel")
    with gr.Column(scale=3, min_width=theme.COLUMN_FULL):
        panel(HISTORY, "co-fills-panel")
