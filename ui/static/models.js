/** The models page: the list, and what may be done with a version. */

import { get, post, remove } from "./api.js";
import { ask } from "./dialog.js";
import { byId, complain, element, show } from "./dom.js";
import { minute } from "./format.js";
import { closeDetails, showDetails } from "./model_details.js";
import { prepareUpload } from "./model_upload.js";
import { Table } from "./table.js";

const PLACE = "co-models-problem";
const TASKS = { spot_interruption: "Interruption", spot_price: "Price" };

/** @typedef {{model_id: string, name: string, version: string, task: "spot_interruption" | "spot_price",
 *   horizon_hours: number, trained_until: string, gap_days: number, uploaded_at: string, status: string,
 *   description: string}} Model */

/** Called after an activation with its answer. @type {(answer: any) => void} */
let onActivated = () => {};
let mayChange = false;
/** @type {Table<Model>} */
let table;

/** @param {(answer: any) => void} callback */
export function prepareModels(callback) {
  onActivated = callback;
  prepareUpload(listModels);
  /** @type {import("./table.js").Column<Model>[]} */
  const columns = [
    { title: "Model", text: (model) => model.model_id, cell: nameCell },
    { title: "Predicts", text: (model) => `${TASKS[model.task]}, ${model.horizon_hours} h` },
    { title: "Trained until", text: (model) => model.trained_until },
    { title: "Gap, days", text: (model) => model.gap_days, isNumber: true },
    { title: "Uploaded", text: (model) => minute(model.uploaded_at) },
    { title: "Status", text: (model) => model.status, cell: statusCell },
  ];
  table = new Table("co-models", columns, { key: (model) => model.model_id, attribute: "data-model" });
  byId("co-models-filter").addEventListener("input", (event) =>
    table.seek(/** @type {HTMLInputElement} */ (event.target).value),
  );
  byId("co-models-csv").addEventListener("click", () => table.save("models.csv"));
}

/** @param {boolean} allowed whether the person may upload and activate */
export async function openModels(allowed) {
  mayChange = allowed;
  show("co-upload-form", allowed);
  await listModels();
}

export async function listModels() {
  try {
    /** @type {Model[]} */
    const models = await get("/models/list");
    table.fill(models);
    show("co-models-empty", models.length === 0);
    if (mayChange) await offerRollbacks(models.filter((model) => model.status === "active"));
  } catch (error) {
    complain(PLACE, error);
  }
}

/** @param {Model} model */
function nameCell(model) {
  const open = element("button", { type: "button", class: "co-link" }, model.model_id);
  open.addEventListener("click", () => void showDetails(model.model_id, mayChange));
  const cell = element("div", {}, open);
  if (model.description) cell.append(element("div", { class: "co-note" }, model.description));
  return cell;
}

/** @param {Model} model @returns {Node | string} */
function statusCell(model) {
  if (model.status === "active") return element("span", { class: "co-badge" }, "active");
  if (!mayChange) return model.status;
  return element(
    "div",
    { class: "co-actions" },
    button("Activate", "co-secondary", `Activate ${model.model_id}`, () => activate(model)),
    button("Delete", "co-quiet", `Delete ${model.model_id}`, () => erase(model)),
  );
}

/** @param {string} text @param {string} dress @param {string} label @param {() => Promise<void>} work */
function button(text, dress, label, work) {
  const made = /** @type {HTMLButtonElement} */ (element("button", { type: "button", class: dress, "aria-label": label }, text));
  made.addEventListener("click", async () => {
    complain(PLACE);
    made.disabled = true;
    try {
      await work();
    } catch (error) {
      complain(PLACE, error);
    }
    made.disabled = false;
  });
  return made;
}

/** @param {Model} model */
async function activate(model) {
  const current = table.rows.find((one) => one.task === model.task && one.status === "active")?.model_id ?? "none";
  const text = `${TASKS[model.task]}: ${current} → ${model.model_id}. Its gap is filled by itself.`;
  if (!(await ask({ title: `Activate ${model.model_id}?`, text, action: "Activate" }))) return;
  onActivated(await post("/models/activate", { model_id: model.model_id }));
  await listModels();
}

/** @param {Model} model */
async function erase(model) {
  const text = "The file and its metadata are removed for good; its predictions stay in the history.";
  if (!(await ask({ title: `Delete ${model.model_id}?`, text, action: "Delete", typed: model.model_id }))) return;
  await remove(`/models/${encodeURIComponent(model.model_id)}`);
  closeDetails(model.model_id);
  await listModels();
}

/** A lasting way back for each active version that took another one's place. @param {Model[]} active */
async function offerRollbacks(active) {
  const told = await Promise.all(active.map((model) => get(`/models/${encodeURIComponent(model.model_id)}`)));
  const buttons = told
    .filter(({ rolls_back_to: back }) => back)
    .map((model) => button(`Roll back to ${model.rolls_back_to}`, "co-secondary", `Roll back to ${model.rolls_back_to}`, () => rollBack(model)));
  byId("co-rollbacks").replaceChildren(...buttons);
}

/** @param {{task: "spot_interruption" | "spot_price", model_id: string, rolls_back_to: string}} model */
async function rollBack({ task, model_id: current, rolls_back_to: back }) {
  const text = `${TASKS[task]}: ${current} → ${back}.`;
  if (!(await ask({ title: `Roll back to ${back}?`, text, action: "Roll back" }))) return;
  onActivated(await post("/models/rollback", { task }));
  await listModels();
}
