/** One model version in full: what it is, what it was measured at, what it looks at, when it was active. */

import { API, get } from "./api.js";
import { byId, complain, element, say, show } from "./dom.js";
import { bytes, minute, percent, zone } from "./format.js";

const MOST_FEATURES = 15;

/** The version that is shown. */
let shownId = "";

/** @param {string} modelId @param {boolean} mayDownload */
export async function showDetails(modelId, mayDownload) {
  shownId = modelId;
  complain("co-model-problem");
  show("co-model-details", true);
  say("co-model-title", modelId);
  try {
    const told = await get(`/models/${encodeURIComponent(modelId)}`);
    if (shownId !== modelId) return;
    byId("co-model-facts").replaceChildren(...facts(told));
    byId("co-model-metrics").replaceChildren(...pairs(told.metrics ?? {}, "No metrics came with it."));
    byId("co-model-importance").replaceChildren(...importance(told.feature_importance));
    byId("co-model-turns").replaceChildren(...told.activation_history.map(turn));
    show("co-model-never", told.activation_history.length === 0);
    const link = byId("co-model-download");
    link.hidden = !mayDownload;
    link.setAttribute("href", `${API}/models/${encodeURIComponent(modelId)}/download`);
  } catch (error) {
    complain("co-model-problem", error);
  }
}

/** Close it when what it shows is gone. @param {string} modelId */
export function closeDetails(modelId) {
  if (shownId === modelId) show("co-model-details", false);
}

/** @param {any} told */
function facts(told) {
  const rows = {
    Estimator: told.estimator,
    Format: `${told.format}, ${bytes(told.size_bytes)}`,
    "Trained until": `${told.trained_until} (${told.gap_days} days ago)`,
    Horizon: `${told.horizon_hours} h`,
    Features: String(told.features.length),
    Uploaded: `${minute(told.uploaded_at)} ${zone.name} by ${told.uploaded_by}`,
    "SHA-256": told.sha256,
  };
  return pairs(rows, "");
}

/** @param {Record<string, unknown>} values @param {string} none what to say when there are none */
function pairs(values, none) {
  const rows = Object.entries(values).flatMap(([name, value]) => [
    element("dt", {}, name.replaceAll("_", " ")),
    element("dd", {}, typeof value === "number" ? String(Math.round(value * 1e4) / 1e4) : String(value)),
  ]);
  return rows.length || !none ? rows : [element("dd", { class: "co-note" }, none)];
}

/** @param {Record<string, number> | undefined} shares by feature */
function importance(shares) {
  const rows = Object.entries(shares ?? {});
  if (!rows.length) return [element("dd", { class: "co-note" }, "Not known for this version.")];
  const sorted = rows.map(([name, share]) => ({ name, share: Number(share) })).sort((a, b) => b.share - a.share);
  const most = Math.max(sorted[0].share, Number.EPSILON);
  return sorted.slice(0, MOST_FEATURES).flatMap(({ name, share }) => {
    const bar = element("div", { class: "co-bar", "aria-hidden": "true" }, element("div"));
    /** @type {HTMLElement} */ (bar.firstElementChild).style.width = `${(Math.max(share, 0) / most) * 100}%`;
    return [element("dt", {}, name), element("dd", {}, bar, element("span", { class: "co-note" }, percent(share)))];
  });
}

/** @param {any} told one turn of the activation history */
const turn = (told) =>
  element("li", {}, `Generation ${told.generation}: from ${minute(told.activated_at)} ${zone.name}, by ${told.by}`);
