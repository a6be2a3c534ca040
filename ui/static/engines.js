/** The engines page: what there is, and which one decides with which config. */

import { get, post, remove, upload } from "./api.js";
import { ask } from "./dialog.js";
import { byId, complain, element, offer, say, show } from "./dom.js";
import { prepareTrial } from "./engine_trial.js";
import { configFields, configOf, schemaTable } from "./schema.js";
import { showEngine } from "./status.js";

/** @typedef {{engine_id: string, name: string, version: string, description: string, active: boolean, builtin: boolean}} Engine */

/** What the list shows. @type {Engine[]} */
let engines = [];
let mayUpload = false;

export function prepareEngines() {
  byId("co-engine-choice").addEventListener("change", () => void look());
  byId("co-apply").addEventListener("click", () => void apply());
  byId("co-engine-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void send();
  });
  prepareTrial(chosen);
}

/** @param {boolean} allowed whether the person may select and try @param {boolean} isAdmin whether they may upload and delete */
export async function openEngines(allowed, isAdmin) {
  mayUpload = isAdmin;
  show("co-apply", allowed);
  show("co-trial", allowed);
  show("co-engine-form", isAdmin);
  await listEngines();
  await look();
}

async function listEngines() {
  try {
    engines = await get("/engines/list");
    const active = engines.find((engine) => engine.active)?.engine_id ?? "";
    byId("co-engines").replaceChildren(...engines.map(row));
    offer("co-engine-choice", engines.map((engine) => engine.engine_id), active);
    showEngine(active);
    complain("co-engines-problem");
  } catch (error) {
    complain("co-engines-problem", error);
  }
}

/** @param {Engine} engine */
function row(engine) {
  const name = element("td", {}, element("b", {}, engine.engine_id), element("div", { class: "co-note" }, engine.description));
  const status = engine.active ? element("span", { class: "co-badge" }, "active") : inactive(engine);
  return element(
    "tr",
    { "data-engine": engine.engine_id },
    name,
    element("td", {}, engine.version),
    element("td", {}, status),
  );
}

/** @param {Engine} engine @returns {Node | string} */
function inactive(engine) {
  if (!mayUpload || engine.builtin) return "inactive";
  const button = element("button", { type: "button", class: "co-quiet", "aria-label": `Delete ${engine.engine_id}` }, "Delete");
  button.addEventListener("click", async () => {
    const text = "Its file is removed for good; the decisions it made stay in the history.";
    const question = { title: `Delete ${engine.engine_id}?`, text, action: "Delete", typed: engine.engine_id };
    if (!(await ask(question))) return;
    try {
      await remove(`/engines/${encodeURIComponent(engine.engine_id)}`);
      await listEngines();
      await look();
    } catch (error) {
      complain("co-engines-problem", error);
    }
  });
  return button;
}

/** Take an engine in; what is wrong with its file is shown by line. */
async function send() {
  complain("co-engine-problem");
  const value = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).value;
  const form = new FormData();
  form.set("name", value("co-engine-name"));
  form.set("version", value("co-engine-version"));
  form.set("description", value("co-engine-about"));
  form.set("file", /** @type {File} */ (/** @type {HTMLInputElement} */ (byId("co-engine-file")).files?.[0]));
  say("co-engine-state", "Sent; the server checks it in a confined process.");
  try {
    const engine = await upload("/engines/upload", form, () => {}).done;
    say("co-engine-state", `${engine.engine_id} is catalogued.`);
    /** @type {HTMLFormElement} */ (byId("co-engine-form")).reset();
    await listEngines();
  } catch (error) {
    say("co-engine-state", "Refused; nothing of it was kept.");
    complain("co-engine-problem", error);
  }
}

const chosen = () => /** @type {HTMLSelectElement} */ (byId("co-engine-choice")).value;

/** Show what the chosen engine takes and gives. */
async function look() {
  const engineId = chosen();
  if (!engineId) return;
  say("co-apply-state", "");
  try {
    const about = await get(`/engines/${encodeURIComponent(engineId)}/metadata`);
    if (chosen() !== engineId) return;
    say("co-engine-description", about.description);
    byId("co-config").replaceChildren(...configFields(about.config_schema, about.config_defaults));
    byId("co-input-schema").replaceChildren(schemaTable(about.input_schema));
    byId("co-output-schema").replaceChildren(schemaTable(about.output_schema));
    complain("co-apply-problem");
  } catch (error) {
    complain("co-apply-problem", error);
  }
}

async function apply() {
  complain("co-apply-problem");
  byId("co-apply").setAttribute("disabled", "");
  try {
    const selected = await post("/engines/select", { engine_id: chosen(), config: configOf(byId("co-config")) });
    say("co-apply-state", `${selected.engine_id} decides from now on.`);
  } catch (error) {
    complain("co-apply-problem", error);
  }
  byId("co-apply").removeAttribute("disabled");
  await listEngines();
}
