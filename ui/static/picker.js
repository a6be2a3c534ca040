/** A searchable list of names to tick; what is ticked stands on top. */

import { byId, element } from "./dom.js";

const MOST_SHOWN = 60;

export class Picker {
  /**
   * @param {string} listId @param {string} searchId
   * @param {() => void} onChange called when a person ticked something
   */
  constructor(listId, searchId, onChange) {
    this.list = byId(listId);
    this.search = /** @type {HTMLInputElement} */ (byId(searchId));
    this.onChange = onChange;
    /** @type {string[]} */
    this.names = [];
    /** @type {Set<string>} */
    this.chosen = new Set();
    this.search.addEventListener("input", () => this.draw());
  }

  /** @param {string[]} names what there is to choose from; what is no longer there is unticked */
  offer(names) {
    this.names = names;
    this.chosen = new Set([...this.chosen].filter((name) => names.includes(name)));
    this.draw();
  }

  /** @param {string[]} names */
  choose(names) {
    this.chosen = new Set(names);
    this.draw();
  }

  /** @returns {string[]} what is ticked, in order */
  get value() {
    return this.names.filter((name) => this.chosen.has(name));
  }

  draw() {
    const sought = this.search.value.trim().toLowerCase();
    const found = this.names.filter((name) => name.includes(sought));
    const sorted = [...found.filter((name) => this.chosen.has(name)), ...found.filter((name) => !this.chosen.has(name))];
    const rows = sorted.slice(0, MOST_SHOWN).map((name) => this.#row(name));
    const over = sorted.length - rows.length;
    if (over > 0) rows.push(element("li", { class: "co-note" }, `and ${over} more: search to narrow them`));
    if (!sorted.length) rows.push(element("li", { class: "co-note" }, "none of that name"));
    this.list.replaceChildren(...rows);
  }

  /** @param {string} name */
  #row(name) {
    const box = /** @type {HTMLInputElement} */ (element("input", { type: "checkbox", value: name }));
    box.checked = this.chosen.has(name);
    box.addEventListener("change", () => {
      if (box.checked) this.chosen.add(name);
      else this.chosen.delete(name);
      this.onChange();
    });
    return element("li", {}, element("label", {}, box, ` ${name}`));
  }
}
