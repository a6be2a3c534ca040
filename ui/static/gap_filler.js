/** The gap filler page: analyse, choose, fill, follow to the end, see what was filled before. */

import { get, post, upload } from "./api.js";
import { byId, complain, element, say, show } from "./dom.js";
import { showJob, tookS } from "./fill_progress.js";
import { count, minute, several, span } from "./format.js";
import { estimate, showAnalysis } from "./gap_analysis.js";
import { Picker } from "./picker.js";

const POLL_MS = 400;
const ESTIMATE_AFTER_MS = 300;

/** The fill that is shown. */
let followed = "";
let mayFill = false;
/** Called when a fill has ended. @type {() => void} */
let onFilled = () => {};
/** @type {Picker} */
let regions;
/** @type {Picker} */
let types;
/** Region → instance types that it offers. @type {Record<string, string[]>} */
let places = {};
/** @type {ReturnType<typeof setTimeout> | undefined} */
let pending;

/** @param {() => void} callback */
export function prepareGapFiller(callback) {
  onFilled = callback;
  regions = new Picker("co-regions", "co-pick-regions", changed);
  types = new Picker("co-types", "co-pick-types", changed);
  byId("co-analyze").addEventListener("click", () => act("co-analyze", "co-gap-problem", analyze));
  byId("co-fill").addEventListener("click", () =>
    act("co-fill", "co-fill-problem", async () => follow((await post("/gap-filler/fill", order())).task_id)),
  );
  for (const [id, word] of [["co-fill-cancel", "cancel"], ["co-fill-retry", "retry"]]) {
    byId(id).addEventListener("click", () =>
      act(id, "co-fill-problem", async () => {
        await post(`/gap-filler/${word}/${encodeURIComponent(followed)}`);
        void follow(followed);
      }),
    );
  }
  byId("co-import-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void bringIn();
  });
}

/** @param {boolean} allowed whether the person may order a fill */
export async function openGapFiller(allowed) {
  mayFill = allowed;
  show("co-fill-order", allowed);
  show("co-import-form", allowed);
  const newest = await listFills();
  if (newest) void follow(newest.task_id);
  if (!allowed) return;
  try {
    places = await get("/gap-filler/places");
    regions.offer(Object.keys(places).sort());
    offerTypes();
  } catch (error) {
    complain("co-fill-problem", error);
  }
}

/** @returns {{regions?: string[], instance_types?: string[]}} what is ticked; nothing ticked leaves it to the server */
function order() {
  return {
    ...(regions.value.length && { regions: regions.value }),
    ...(types.value.length && { instance_types: types.value }),
  };
}

/** Instance types of the ticked regions, or of all. */
function offerTypes() {
  const of = regions.value.length ? regions.value : Object.keys(places);
  types.offer([...new Set(of.flatMap((region) => places[region] ?? []))].sort());
}

function changed() {
  offerTypes();
  clearTimeout(pending);
  pending = setTimeout(() => void act("co-analyze", "co-gap-problem", analyze), ESTIMATE_AFTER_MS);
}

/** @param {string} id of the button @param {string} place for what goes wrong @param {() => Promise<unknown>} work */
async function act(id, place, work) {
  complain(place);
  byId(id).setAttribute("disabled", "");
  try {
    await work();
  } catch (error) {
    complain(place, error);
  }
  byId(id).removeAttribute("disabled");
}

async function analyze() {
  const told = await post("/gap-filler/analyze", order());
  showAnalysis(told);
  say("co-fill-span", `Fill missing data from ${told.trained_until} to today, ${told.current_date}:`);
  say("co-fill-estimate", estimate(told));
  if (!regions.value.length) regions.choose(told.regions);
  offerTypes();
  if (!types.value.length) types.choose(told.instance_types);
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
      showJob(job, mayFill);
      if (job.status !== "in_progress") break;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    onFilled();
    await listFills();
  } catch (error) {
    complain("co-fill-problem", error);
  }
}

/** @returns {Promise<any>} the newest fill, if any */
async function listFills() {
  try {
    const fills = await get("/gap-filler/history?limit=50");
    byId("co-fills").replaceChildren(...fills.map(row));
    show("co-fills-empty", fills.length === 0);
    complain("co-fills-problem");
    return fills[0];
  } catch (error) {
    complain("co-fills-problem", error);
    return undefined;
  }
}

/** @param {any} job */
function row(job) {
  const took = tookS(job);
  const what = `${several(job.instance_types.length, "type")} in ${job.regions.join(", ")}`;
  const result = job.status === "failed" ? `failed: ${job.reason}` : job.status.replaceAll("_", " ");
  const cells = [job.task_id, job.requested_by, what, minute(job.created_at), Number.isFinite(took) ? span(took) : ""];
  return element(
    "tr",
    { "data-fill": job.task_id },
    ...cells.map((text) => element("td", {}, text)),
    element("td", { class: "co-number" }, count(job.records_filled)),
    element("td", {}, result),
  );
}

/** Take in a file of price history. */
async function bringIn() {
  complain("co-fills-problem");
  const input = /** @type {HTMLInputElement} */ (byId("co-import-file"));
  const form = new FormData();
  form.set("file", /** @type {File} */ (input.files?.[0]));
  say("co-import-state", "Sending.");
  try {
    const told = await upload("/gap-filler/import", form, () => {}).done;
    say("co-import-state", `${count(told.stored)} stored, ${count(told.present)} known before, ${count(told.refused)} were no prices.`);
    onFilled();
  } catch (error) {
    say("co-import-state", "Refused; nothing of it was kept.");
    complain("co-fills-problem", error);
  }
  input.value = "";
}
