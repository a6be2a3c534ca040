/** Small words for the document: text always goes in as text, never as markup. */

/**
 * The element of an id that the page is known to have.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return /** @type {T} */ (found);
}

/**
 * A new element; strings among the children become text nodes.
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** @param {string} id @param {string} text */
export function say(id, text) {
  const target = byId(id);
  if (target.textContent !== text) target.textContent = text;
}

/** @param {string} id @param {boolean} shown */
export function show(id, shown) {
  byId(id).hidden = !shown;
}

/**
 * Set a progress bar.
 * @param {string} id @param {number} percent 0 to 100
 */
export function progress(id, percent) {
  const bar = byId(id);
  bar.setAttribute("aria-valuenow", percent.toFixed(0));
  /** @type {HTMLElement} */ (bar.firstElementChild).style.width = `${percent}%`;
}

/**
 * Fill a select, keeping the choice where it is still offered.
 * @param {string} id @param {string[]} values @param {string} [first] chosen where nothing was before
 */
export function offer(id, values, first = "") {
  const select = /** @type {HTMLSelectElement} */ (byId(id));
  const before = select.value;
  select.replaceChildren(...values.map((value) => element("option", { value }, value)));
  const choice = values.includes(before) ? before : first;
  if (values.includes(choice)) select.value = choice;
}

/**
 * Show what went wrong and what to do, or hide the place again.
 * @param {string} id @param {unknown} [error] a Problem, another error, or nothing
 */
export function complain(id, error) {
  const place = byId(id);
  place.hidden = !error;
  if (!error) return place.replaceChildren();
  const { title, detail, advice, message, errors = [] } = /** @type {any} */ (error);
  const lines = [element("strong", {}, title ?? "It did not work"), element("p", {}, detail ?? message ?? String(error))];
  if (errors.length) lines.push(element("ul", {}, ...errors.map(single)));
  if (advice) lines.push(element("p", {}, advice));
  place.replaceChildren(...lines);
}

/** @param {{line?: number | null, field?: string, detail: string}} error */
function single({ line, field, detail }) {
  const where = line ? `line ${line}: ` : field ? `${field}: ` : "";
  return element("li", {}, `${where}${detail}`);
}

/**
 * Wait until Gradio has drawn an element.
 * @param {string} id
 * @returns {Promise<void>}
 */
export function drawn(id) {
  return new Promise((resolve) => {
    if (document.getElementById(id)) return resolve();
    const watch = new MutationObserver(() => {
      if (!document.getElementById(id)) return;
      watch.disconnect();
      resolve();
    });
    watch.observe(document.documentElement, { childList: true, subtree: true });
  });
}
