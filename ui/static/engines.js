/** The engines page: what there is, and which one decides with which config. */

import { get, post } from "./api.js";
import { byId, complain, element, offer, say, show } from "./dom.js";
import { configFields, configOf, schemaTable } from "./schema.js";
import { showEngine } from "./status.js";

/** @typedef {{engine_id: string, name: string, version: string, description: string, active: boolean}} Engine */

/** What the list shows. @type {Engine[]} */
let engines = [];

export function prepareEngines() {
  byId("co-engine-choice").addEventListener("change", () => void look());
  byId("co-apply").addEventListener("click", () => void apply());
}

/** @param {boolean} allowed whether the person may select */
export async function openEngines(allowed) {
  show("co-apply", allowed);
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
  const status = engine.active ? element("span", { class: "co-badge" }, "active") : "inactive";
  return element(
    "tr",
    { "data-engine": engine.engine_id },
    name,
    element("td", {}, engine.version),
    element("td", {}, status),
  );
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
