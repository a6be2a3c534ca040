/** The gap filler panel: analyse, fill, follow to the end. */

import { get, post } from "./api.js";
import { byId, complain, element, progress, say, show } from "./dom.js";
import { several, span } from "./format.js";

const PLACE = "co-gap-problem";
const POLL_MS = 400;
const KINDS = [
  ["observed_hours", "observed"],
  ["carried_in_hours", "carried in"],
  ["imputed_hours", "imputed"],
  ["unfillable_hours", "unfillable"],
];

/** The fill that is shown. */
let followed = "";
/** Called when a fill has ended. @type {() => void} */
let onFilled = () => {};

/** @param {() => void} callback */
export function prepareGapFiller(callback) {
  onFilled = callback;
  byId("co-analyze").addEventListener("click", () => act("co-analyze", analyze));
  byId("co-fill").addEventListener("click", () =>
    act("co-fill", async () => follow((await post("/gap-filler/fill")).task_id)),
  );
  byId("co-fill-cancel").addEventListener("click", () =>
    act("co-fill-cancel", () => post(`/gap-filler/cancel/${encodeURIComponent(followed)}`)),
  );
}

/** @param {boolean} allowed whether the person may order a fill */
export async function openGapFiller(allowed) {
  show("co-fill", allowed);
  try {
    const [newest] = await get("/gap-filler/history?limit=1");
    if (newest) void follow(newest.task_id);
  } catch (error) {
    complain(PLACE, error);
  }
}

/** @param {string} id of the button @param {() => Promise<unknown>} work */
async function act(id, work) {
  complain(PLACE);
  byId(id).setAttribute("disabled", "");
  try {
    await work();
  } catch (error) {
    complain(PLACE, error);
  }
  byId(id).removeAttribute("disabled");
}

async function analyze() {
  const told = await post("/gap-filler/analyze");
  const days = element(
    "p",
    { class: "co-timeline" },
    element("b", {}, told.trained_until),
    element("span", {}, several(told.gap_days, "day")),
    element("b", {}, told.current_date),
  );
  const facts = element(
    "p",
    { class: "co-note" },
    `${several(told.pools, "pool")} of ${several(told.instance_types.length, "instance type")} in ` +
      `${several(told.regions.length, "region")}. ` +
      `A fill pulls about ${several(told.estimated_records, "record")} in ${span(told.estimated_seconds)}.`,
  );
  const needed = element(
    "ul",
    { class: "co-checks" },
    ...told.required_data_types.map((/** @type {string} */ name) => element("li", {}, name.replaceAll("_", " "))),
  );
  byId("co-analysis").replaceChildren(days, coverage(told.coverage), facts, needed);
  if (told.unavailable) {
    const { start, end } = told.unavailable;
    const text = `AWS no longer has ${start.slice(0, 10)} to ${end.slice(0, 10)}.`;
    byId("co-analysis").append(element("p", { class: "co-note" }, text));
  }
}

/** @param {Record<string, number>} hours @returns {HTMLElement} shares of the gap as a bar, with a legend in words */
function coverage(hours) {
  const total = KINDS.reduce((sum, [field]) => sum + hours[field], 0) || 1;
  const bar = element("div", { class: "co-coverage", "aria-hidden": "true" });
  const legend = element("p", { class: "co-figures" });
  for (const [field, name] of KINDS) {
    const part = element("i", { "data-kind": field });
    part.style.flexGrow = String(hours[field] / total);
    bar.append(part);
    const share = `${((hours[field] / total) * 100).toFixed(1)} % ${name}`;
    if (hours[field] > 0) legend.append(element("span", { "data-kind": field }, share));
  }
  return element("div", {}, bar, legend);
}

/**
 * Show a fill until it ends; another call takes its place.
 * @param {string} taskId
 */
export async function follow(taskId) {
  followed = taskId;
  show("co-fill-progress", true);
  try {
    for (;;) {
      const job = await get(`/gap-filler/status/${encodeURIComponent(taskId)}`);
      if (followed !== taskId) return;
      showJob(job);
      if (job.status !== "in_progress") break;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    onFilled();
  } catch (error) {
    complain(PLACE, error);
  }
}

/** @param {any} job */
function showJob(job) {
  const running = job.status === "in_progress";
  byId("co-fill-progress").dataset.status = job.status;
  const state = running ? job.phase : job.reason || job.status;
  say("co-fill-title", `${job.task_id}: ${state}`);
  progress("co-fill-bar", job.percent_complete);
  say("co-fill-percent", `${job.percent_complete.toFixed(running ? 1 : 0)} %`);
  say("co-fill-records", `${several(job.records_filled, "record")}, ${several(job.predictions_made, "prediction")}`);
  say("co-fill-eta", eta(job));
  show("co-fill-cancel", running && !byId("co-fill").hidden);
}

/** @param {any} job */
function eta(job) {
  if (job.status === "in_progress") return job.eta_seconds === null ? "" : `${span(job.eta_seconds)} left`;
  const took = (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000;
  return Number.isFinite(took) ? `took ${took.toFixed(1)} s` : "";
}
