"""Models: upload one with true progress, see what there is, activate, roll back, look at one, delete."""

import gradio as gr

from ui import theme
from ui.pages.panel import panel

MARKUP = """
<section class="co-panel" aria-labelledby="co-models-title">
  <h2 id="co-models-title">Models</h2>
  <form id="co-upload-form" class="co-form">
    <label class="co-field co-wide">Model file
      <input id="co-file" type="file" accept=".pkl,.joblib,.skops,.onnx" required></label>
    <label class="co-field">Name <input id="co-model-name" type="text" required maxlength="63" placeholder="spot-risk"
      pattern="[a-z0-9][a-z0-9._\\-]{0,62}" title="Lower-case letters, digits, dot, dash, underscore"></label>
    <label class="co-field">Version <input id="co-model-version" type="text" required maxlength="63" placeholder="v1"
      pattern="[a-z0-9][a-z0-9._\\-]{0,62}" title="Lower-case letters, digits, dot, dash, underscore"></label>
    <label class="co-field">Trained until <input id="co-trained-until" type="date" required></label>
    <label class="co-field">Predicts <select id="co-task">
      <option value="spot_interruption">Interruption</option><option value="spot_price">Price</option></select></label>
    <label class="co-field">Horizon, hours <input id="co-horizon" type="number" min="1" max="720" value="24"></label>
    <label class="co-field co-wide">Metadata, optional <input id="co-metadata" type="file" accept=".json"></label>
    <div class="co-actions">
      <button type="submit" id="co-upload" class="co-primary">Upload</button>
      <button type="button" id="co-upload-cancel" class="co-quiet" hidden>Cancel</button>
      <span id="co-upload-state" class="co-note" role="status"></span>
    </div>
    <div id="co-upload-bar" class="co-bar co-wide" role="progressbar" aria-label="Upload" aria-valuemin="0"
      aria-valuemax="100" hidden><div></div></div>
  </form>
  <div id="co-models-problem" class="co-problem" role="alert" hidden></div>
  <div class="co-title-row"><div id="co-rollbacks" class="co-actions"></div>
    <div class="co-filters"><label class="co-field">Filter
        <input id="co-models-filter" type="search" autocomplete="off"></label>
      <button type="button" id="co-models-csv" class="co-secondary">CSV</button></div></div>
  <div class="co-scroll"><table id="co-models" class="co-table"><thead></thead><tbody></tbody></table></div>
  <p id="co-models-empty" class="co-empty" hidden>No model yet. Upload a trained one above.</p>
</section>
"""

DETAILS = """
<section id="co-model-details" class="co-panel" aria-labelledby="co-model-title" hidden>
  <h2 id="co-model-title"></h2>
  <div id="co-model-problem" class="co-problem" role="alert" hidden></div>
  <dl id="co-model-facts" class="co-facts"></dl>
  <h3>Metrics</h3><dl id="co-model-metrics" class="co-facts"></dl>
  <h3>Feature importance</h3><dl id="co-model-importance" class="co-bars"></dl>
  <h3>Activation history</h3><ul id="co-model-turns"></ul>
  <p id="co-model-never" class="co-note">It was never active.</p>
  <p><a id="co-model-download" download hidden>Download the very file that was uploaded</a></p>
</section>
"""


def build() -> None:
    """Both panels."""
    with gr.Column(scale=2, min_width=theme.COLUMN_WIDE):
        panel(MARKUP, "co-models-panel")
    with gr.Column(scale=1, min_width=theme.COLUMN_NARROW):
        panel(DETAILS, "co-model-panel")
