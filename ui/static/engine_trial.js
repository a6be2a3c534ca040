/** Trying an engine without letting it decide: its answer beside the active one's, to the same input. */

import { post } from "./api.js";
import { byId, complain, element, say, show } from "./dom.js";
import { price, several } from "./format.js";
import { configOf } from "./schema.js";

/** @param {() => string} chosen the engine to try */
export function prepareTrial(chosen) {
  const input = /** @type {HTMLSelectElement} */ (byId("co-trial-input"));
  input.addEventListener("change", () => show("co-trial-own", input.value === "own"));
  byId("co-try").addEventListener("click", () => void attempt(chosen(), input.value));
}

/** @param {string} engineId @param {string} kind sample, live or own */
async function attempt(engineId, kind) {
  complain("co-apply-problem");
  say("co-trial-state", "Deciding.");
  byId("co-try").setAttribute("disabled", "");
  try {
    const text = /** @type {HTMLTextAreaElement} */ (byId("co-trial-text")).value;
    const input = kind === "own" ? JSON.parse(text) : kind;
    const told = await post(`/engines/${encodeURIComponent(engineId)}/test`, { input, config: configOf(byId("co-config")) });
    say("co-trial-state", told.same === null ? "" : told.same ? "Both decide the same." : "They decide differently.");
    byId("co-trial-result").replaceChildren(side("Tested", told), ...(told.active ? [side("Active", told.active)] : []));
  } catch (error) {
    say("co-trial-state", "");
    complain("co-apply-problem", error);
  }
  byId("co-try").removeAttribute("disabled");
}

/** @param {string} title @param {any} told */
function side(title, told) {
  const good = told.usable !== false && !told.problem;
  const head = element("h4", {}, `${title}: ${told.engine_id} `, element("span", { class: "co-badge", "data-good": String(good) }, good ? "usable" : "not usable"));
  const broken = (told.violations ?? []).map((/** @type {any} */ one) => element("li", {}, typeof one === "string" ? one : Object.values(one).join(": ")));
  const decisions = (told.output?.decisions ?? []).map(decision);
  return element(
    "section",
    {},
    head,
    ...(told.problem ? [element("p", { class: "co-note" }, String(told.problem.detail ?? told.problem))] : []),
    ...(broken.length ? [element("ul", {}, ...broken)] : []),
    element("ol", { class: "co-list" }, ...decisions),
    element("details", {}, element("summary", {}, "As JSON"), element("pre", { class: "co-code", tabindex: "0" }, JSON.stringify(told, null, 2))),
  );
}

/** @param {any} told */
function decision(told) {
  const acts = told.recommendations.map((/** @type {any} */ action) => {
    const why = action.reasons.map((/** @type {any} */ reason) => reason.text).join(" ");
    return element("li", {}, element("b", {}, `${action.type.replaceAll("_", " ")} ${action.node_ids.join(", ")}`), element("div", { class: "co-note" }, why));
  });
  const saved = told.estimated_savings?.p50 ?? 0;
  const words = `${several(acts.length, "action")}${saved > 0 ? `, saves ${price(saved)}/h` : ""}`;
  const summary = element("summary", {}, element("b", {}, told.cluster_id), element("span", { class: "co-note" }, words));
  return element("li", {}, element("details", {}, summary, element("ul", { class: "co-acts" }, ...acts)));
}
