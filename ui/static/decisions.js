/** The decision stream: what the selected engine says of each cluster, newest first. */

import { get } from "./api.js";
import { byId, complain, element, show } from "./dom.js";
import { minute, price, several, zone } from "./format.js";
import { showEngine } from "./status.js";
import { Stream } from "./stream.js";

const MOST_SHOWN = 50;
/** @type {Stream | undefined} */
let stream;
/** What is listed, as cluster and instant. @type {Set<string>} */
let listed = new Set();

/** Follow first and list the past then, so that nothing falls between. */
export async function openDecisions() {
  listed = new Set();
  byId("co-decisions").replaceChildren();
  stream = new Stream("decisions", {}, { onMessage: take });
  try {
    const { decisions } = await get(`/decisions/history?limit=${MOST_SHOWN}`);
    for (const one of decisions) add(one, false);
  } catch (error) {
    complain("co-decisions-problem", error);
  }
}

export function closeDecisions() {
  stream?.close();
  stream = undefined;
}

/** @param {any} message */
function take(message) {
  if (message.type === "reset") {
    closeDecisions();
    return void openDecisions();
  }
  if (message.type !== "decisions") return;
  showEngine(message.made_by?.engine_id ?? "");
  for (const decision of message.decisions) add({ ...message, decision }, true);
}

/** @param {{as_of: string, made_by: any, decision: any}} told @param {boolean} isNew */
function add(told, isNew) {
  const key = `${told.decision.cluster_id} ${Date.parse(told.as_of)}`;
  if (listed.has(key)) return;
  listed.add(key);
  const list = byId("co-decisions");
  if (isNew) list.prepend(item(told));
  else list.append(item(told));
  while (list.children.length > MOST_SHOWN) list.lastElementChild?.remove();
  show("co-decisions-empty", false);
}

/** @param {{as_of: string, made_by: any, decision: any}} told */
function item({ as_of, made_by, decision }) {
  const doing = decision.recommendations.filter((/** @type {any} */ action) => action.type !== "hold");
  const saved = decision.estimated_savings?.p50 ?? 0;
  const summary = element(
    "summary",
    {},
    element("b", {}, decision.cluster_id),
    element("span", { class: "co-note" }, `${minute(as_of)} ${zone.name}`),
    saved > 0
      ? element("span", { class: "co-saved" }, `saves ${price(saved)}/h`)
      : element("span", { class: "co-note" }, "holds"),
    element("div", {}, tally(doing)),
  );
  const actions = decision.recommendations.map((/** @type {any} */ action) =>
    element(
      "li",
      {},
      element("b", {}, `${words(action.type)} ${action.node_ids.join(", ")}`),
      element("div", {}, aim(action)),
      element("div", { class: "co-note" }, action.reasons.map((/** @type {any} */ reason) => reason.text).join(" ")),
    ),
  );
  const steps = decision.execution_plan?.steps ?? [];
  const by = made_by ? `By ${made_by.engine_id}, version ${made_by.version}. ` : "";
  const plan = element("p", { class: "co-note" }, `${by}The plan has ${several(steps.length, "step")}.`);
  return element("li", {}, element("details", {}, summary, element("ul", { class: "co-acts" }, ...actions), plan));
}

/** @param {any[]} actions @returns {string} such as "move to spot ×3, rightsize" */
function tally(actions) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { type } of actions) counts.set(type, (counts.get(type) ?? 0) + 1);
  const told = [...counts].map(([type, number]) => (number > 1 ? `${words(type)} ×${number}` : words(type)));
  return told.join(", ") || "nothing to change";
}

/** @param {string} type */
const words = (type) => type.replaceAll("_", " ");

/** @param {any} action */
function aim({ target, receiving_node_ids, savings }) {
  if (!target) return "";
  const bought = `${target.instance_type} ${words(target.capacity_type)} in ${target.availability_zone ?? target.region}`;
  const where = `→ ${receiving_node_ids.join(", ") || bought}`;
  return savings.p50 > 0 ? `${where}, saves ${price(savings.p50)}/h` : where;
}
