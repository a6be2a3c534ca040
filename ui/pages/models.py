"""Models: upload one with true progress, see what there is, activate."""

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
  <div class="co-scroll"><table class="co-table">
    <thead><tr><th scope="col">Model</th><th scope="col">Predicts</th><th scope="col">Trained until</th>
      <th scope="col" class="co-number">Gap</th><th scope="col">Uploaded</th><th scope="col">Status</th></tr></thead>
    <tbody id="co-models"></tbody></table></div>
  <p id="co-models-empty" class="co-empty" hidden>No model yet. Upload a trained one above.</p>
</section>
"""


def build() -> None:
    """The panel."""
    with gr.Column(scale=2, min_width=theme.COLUMN_WIDE):
        panel(MARKUP, "co-models-panel")
