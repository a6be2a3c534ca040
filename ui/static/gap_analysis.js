/** The gap: what is missing between a model's trained_until and now, drawn from the API's analysis. */

import { byId, element } from "./dom.js";
import { several, span } from "./format.js";

const KINDS = [
  ["observed_hours", "observed"],
  ["carried_in_hours", "carried in"],
  ["imputed_hours", "imputed"],
  ["unfillable_hours", "unfillable"],
];

/** @param {any} told the answer of gap-filler/analyze */
export function showAnalysis(told) {
  const days = element(
    "p",
    { class: "co-timeline" },
    element("b", {}, told.trained_until),
    element("span", {}, several(told.gap_days, "day")),
    element("b", {}, told.current_date),
  );
  const dates = element(
    "dl",
    { class: "co-facts" },
    ...fact("Trained until", told.trained_until),
    ...fact("Current date", told.current_date),
    ...fact("Gap", several(told.gap_days, "day")),
  );
  const facts = element(
    "p",
    { class: "co-note" },
    `${several(told.pools, "pool")} of ${several(told.instance_types.length, "instance type")} in ` +
      `${several(told.regions.length, "region")}.`,
  );
  const needed = element(
    "ul",
    { class: "co-checks" },
    ...told.required_data_types.map((/** @type {string} */ name) => element("li", {}, name.replaceAll("_", " "))),
  );
  byId("co-analysis").replaceChildren(days, dates, coverage(told.coverage), facts, needed);
  if (told.unavailable) {
    const { start, end } = told.unavailable;
    const text = `AWS no longer has ${start.slice(0, 10)} to ${end.slice(0, 10)}: import a file for it.`;
    byId("co-analysis").append(element("p", { class: "co-note" }, text));
  }
}

/** @param {any} told @returns {string} what a fill of it would cost */
export const estimate = (told) =>
  `about ${several(told.estimated_records, "record")} in ${span(told.estimated_seconds)}, ${several(told.shards, "shard")}`;

/** @param {string} name @param {string} value */
const fact = (name, value) => [element("dt", {}, name), element("dd", {}, value)];

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
