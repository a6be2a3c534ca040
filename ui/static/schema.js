/** JSON Schemas as people read them: a table of fields, and a form that asks for what a config takes. */

import { element } from "./dom.js";

/** @typedef {Record<string, any>} Schema */

/** @param {Schema} schema @param {Schema} root @returns {Schema} what a reference or a nullable one stands for */
function meant(schema, root) {
  if (schema.$ref) return { ...root.$defs?.[schema.$ref.split("/").at(-1)], ...schema, $ref: undefined };
  const [only, ...more] = (schema.anyOf ?? []).filter((/** @type {Schema} */ one) => one.type !== "null");
  return only && !more.length ? { ...meant(only, root), ...schema, anyOf: undefined } : schema;
}

/** @param {Schema} schema @param {Schema} root @returns {string} such as "list of PoolFacts" or "0 to 1" */
function kind(schema, root) {
  const { type, enum: choices, items, title, minimum, maximum, format } = meant(schema, root);
  if (choices) return choices.join(" | ");
  if (type === "array") return `list of ${items ? kind(items, root) : "anything"}`;
  if (type === "object") return title ?? "object";
  const range = minimum !== undefined && maximum !== undefined ? `, ${minimum} to ${maximum}` : "";
  return `${format ?? type ?? "anything"}${range}`;
}

/** @param {Schema} schema of an object @returns {HTMLElement} one row per field, then the schema itself */
export function schemaTable(schema) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const about = meant(/** @type {Schema} */ (field), schema);
    return element(
      "tr",
      {},
      element("td", {}, element("code", {}, name), required.has(name) ? "" : " (optional)"),
      element("td", {}, kind(/** @type {Schema} */ (field), schema)),
      element("td", {}, about.description ?? ""),
    );
  });
  const head = element("tr", {}, ...["Field", "Kind", "Meaning"].map((text) => element("th", { scope: "col" }, text)));
  const table = element("table", { class: "co-table" }, element("thead", {}, head), element("tbody", {}, ...rows));
  const json = element("pre", { class: "co-code", tabindex: "0" }, JSON.stringify(schema, null, 2));
  return element("div", {}, table, element("details", {}, element("summary", {}, "As JSON Schema"), json));
}

/** @param {Schema} schema of a config @param {Record<string, any>} values @returns {HTMLElement[]} one field per property */
export function configFields(schema, values) {
  return Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const about = meant(/** @type {Schema} */ (field), schema);
    const label = element("label", { class: "co-field", title: about.description ?? "" }, name.replaceAll("_", " "));
    label.append(control(name, about, values[name]));
    return label;
  });
}

/** @param {string} name @param {Schema} about @param {any} value */
function control(name, about, value) {
  if (about.enum || about.type === "boolean") {
    const choices = about.enum ?? [true, false];
    const select = element("select", { "data-config": name });
    for (const choice of choices) select.append(element("option", { value: JSON.stringify(choice) }, String(choice)));
    /** @type {HTMLSelectElement} */ (select).value = JSON.stringify(value);
    return select;
  }
  const isNumber = about.type === "number" || about.type === "integer";
  const input = element("input", { "data-config": name, type: isNumber ? "number" : "text" });
  if (isNumber) input.setAttribute("step", about.type === "integer" ? "1" : "any");
  for (const [attribute, limit] of [["min", about.minimum], ["max", about.maximum]]) {
    if (limit !== undefined) input.setAttribute(attribute, String(limit));
  }
  const written = isNumber || typeof value === "string" ? value : JSON.stringify(value);
  /** @type {HTMLInputElement} */ (input).value = value == null ? "" : String(written);
  input.dataset.kind = isNumber ? "number" : typeof value === "string" || about.type === "string" ? "text" : "json";
  return input;
}

/** @param {HTMLElement} form @returns {Record<string, any>} what the fields hold; empty ones are left to the engine */
export function configOf(form) {
  /** @type {Record<string, any>} */
  const config = {};
  for (const field of form.querySelectorAll("[data-config]")) {
    const { dataset, value, tagName } = /** @type {HTMLInputElement} */ (field);
    if (value === "") continue;
    const isText = tagName === "INPUT" && dataset.kind === "text";
    config[/** @type {string} */ (dataset.config)] = isText ? value : JSON.parse(value);
  }
  return config;
}
