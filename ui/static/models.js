/** The models panel: upload, list, activate. */

import { get, post, upload } from "./api.js";
import { byId, complain, element, progress, say, show } from "./dom.js";
import { bytes, minute, several } from "./format.js";

const PLACE = "co-models-problem";
const TASKS = { spot_interruption: "Interruption", spot_price: "Price" };

/** @typedef {{model_id: string, name: string, version: string, task: "spot_interruption" | "spot_price",
 *   horizon_hours: number, trained_until: string, gap_days: number, uploaded_at: string, status: string,
 *   description: string}} Model */

/** Called after an activation with its answer. @type {(answer: any) => void} */
let onActivated = () => {};
let mayChange = false;

/** @param {(answer: any) => void} callback */
export function prepareModels(callback) {
  onActivated = callback;
  byId("co-upload-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void send();
  });
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
    byId("co-models").replaceChildren(...models.map(row));
    show("co-models-empty", models.length === 0);
  } catch (error) {
    complain(PLACE, error);
  }
}

/** @param {Model} model */
function row(model) {
  const name = element("td", {}, element("b", {}, model.model_id));
  if (model.description) name.append(element("div", { class: "co-note" }, model.description));
  return element(
    "tr",
    { "data-model": model.model_id },
    name,
    element("td", {}, `${TASKS[model.task]}, ${model.horizon_hours} h`),
    element("td", {}, model.trained_until),
    element("td", { class: "co-number" }, several(model.gap_days, "day")),
    element("td", {}, minute(model.uploaded_at)),
    element("td", {}, model.status === "active" ? element("span", { class: "co-badge" }, "active") : activate(model)),
  );
}

/** @param {Model} model @returns {Node | string} */
function activate(model) {
  if (!mayChange) return model.status;
  const button = element("button", { type: "button", class: "co-secondary" }, "Activate");
  button.setAttribute("aria-label", `Activate ${model.model_id}`);
  button.addEventListener("click", async () => {
    complain(PLACE);
    button.setAttribute("disabled", "");
    try {
      onActivated(await post("/models/activate", { model_id: model.model_id }));
    } catch (error) {
      complain(PLACE, error);
    }
    await listModels();
  });
  return button;
}

async function send() {
  complain(PLACE);
  /** @type {FormData} */
  let form;
  try {
    form = await order();
  } catch (error) {
    return complain(PLACE, error);
  }
  const button = byId("co-upload");
  button.setAttribute("disabled", "");
  show("co-upload-bar", true);
  const { done, cancel } = upload("/models/upload", form, showSent);
  byId("co-upload-cancel").onclick = cancel;
  show("co-upload-cancel", true);
  try {
    const model = await done;
    say("co-upload-state", `${model.model_id} is registered.`);
    /** @type {HTMLFormElement} */ (byId("co-upload-form")).reset();
  } catch (error) {
    say("co-upload-state", error ? "Refused; nothing of it was kept." : "Cancelled.");
    if (error) complain(PLACE, error);
  }
  button.removeAttribute("disabled");
  show("co-upload-cancel", false);
  show("co-upload-bar", false);
  await listModels();
}

/** @param {number} sent @param {number} total bytes */
function showSent(sent, total) {
  const percent = total ? (sent / total) * 100 : 0;
  progress("co-upload-bar", percent);
  const checking = sent >= total;
  say("co-upload-state", checking ? "Sent; the server checks it." : `${percent.toFixed(0)} % of ${bytes(total)}`);
}

/** @returns {Promise<FormData>} what the API takes, from the form */
async function order() {
  const value = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).value;
  const file = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).files?.[0];
  const form = new FormData();
  form.set("model_name", value("co-model-name"));
  form.set("version", value("co-model-version"));
  form.set("trained_until_date", value("co-trained-until"));
  const given = file("co-metadata");
  const basic = { task: value("co-task"), horizon_hours: Number(value("co-horizon")) };
  form.set("metadata", given ? await given.text() : JSON.stringify(basic));
  form.set("file", /** @type {File} */ (file("co-file")));
  return form;
}
