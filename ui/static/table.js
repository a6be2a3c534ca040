/** A table that can be sorted by its columns, filtered by a word, and taken along as CSV. */

import { byId, element } from "./dom.js";

/**
 * @template Row
 * @typedef {{title: string, text: (row: Row) => string | number, cell?: (row: Row) => Node | string, isNumber?: boolean}} Column
 */

/** @template Row */
export class Table {
  /**
   * @param {string} id of a table with an empty head and body
   * @param {Column<Row>[]} columns `text` is what is sorted, sought and written to CSV, `cell` what is shown
   * @param {{key: (row: Row) => string, attribute: string}} identity put on each row
   */
  constructor(id, columns, identity) {
    this.table = byId(id);
    this.columns = columns;
    this.identity = identity;
    /** @type {Row[]} */
    this.rows = [];
    this.sought = "";
    /** @type {{column: Column<Row>, down: boolean} | undefined} */
    this.order = undefined;
  }

  /** @param {Row[]} rows in the order to begin with */
  fill(rows) {
    this.rows = rows;
    this.draw();
  }

  /** @param {string} word rows without it are not shown */
  seek(word) {
    this.sought = word.trim().toLowerCase();
    this.draw();
  }

  /** @returns {Row[]} the rows that are shown, in their order */
  get shown() {
    const found = this.rows.filter((row) => this.columns.some((column) => String(column.text(row)).toLowerCase().includes(this.sought)));
    if (!this.order) return found;
    const { column, down } = this.order;
    const compare = (/** @type {string | number} */ a, /** @type {string | number} */ b) =>
      typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return found.sort((a, b) => compare(column.text(a), column.text(b)) * (down ? -1 : 1));
  }

  draw() {
    const head = element("tr", {}, ...this.columns.map((column) => this.#title(column)));
    const body = this.shown.map((row) =>
      element("tr", { [this.identity.attribute]: this.identity.key(row) }, ...this.columns.map((column) => this.#cell(column, row))),
    );
    const [thead, tbody] = this.table.querySelectorAll("thead, tbody");
    thead.replaceChildren(head);
    tbody.replaceChildren(...body);
  }

  /** @param {Column<Row>} column */
  #title(column) {
    const sorted = this.order?.column === column;
    const button = element("button", { type: "button", class: "co-sort" }, column.title);
    button.addEventListener("click", () => {
      this.order = { column, down: sorted && !this.order?.down };
      this.draw();
      /** @type {HTMLElement | undefined} */ (this.table.querySelectorAll(".co-sort")[this.columns.indexOf(column)])?.focus();
    });
    const direction = sorted ? (this.order?.down ? "descending" : "ascending") : "none";
    return element("th", { scope: "col", "aria-sort": direction, ...(column.isNumber && { class: "co-number" }) }, button);
  }

  /** @param {Column<Row>} column @param {Row} row */
  #cell(column, row) {
    return element("td", column.isNumber ? { class: "co-number" } : {}, column.cell?.(row) ?? String(column.text(row)));
  }

  /** @param {string} name of the file that the browser keeps */
  save(name) {
    const lines = [this.columns.map((column) => column.title), ...this.shown.map((row) => this.columns.map((column) => column.text(row)))];
    const text = lines.map((line) => line.map(quoted).join(",")).join("\r\n");
    const link = /** @type {HTMLAnchorElement} */ (element("a", { download: name }));
    link.href = URL.createObjectURL(new Blob([`${text}\r\n`], { type: "text/csv" }));
    link.click();
    URL.revokeObjectURL(link.href);
  }
}

/** @param {string | number} value @returns {string} as RFC 4180 has it; what a spreadsheet would run is made text */
function quoted(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
