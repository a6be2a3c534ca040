/** Which page is shown, and the view of it that the address holds: a copied address shows the same. */

import { byId } from "./dom.js";

export const PAGES = ["live", "models", "engines", "gap-filler"];

/** Called with the page that is now shown. @type {(page: string) => void} */
let onShown = () => {};

/** @returns {string} the page that the address names, or the first one */
export function currentPage() {
  const named = new URLSearchParams(location.search).get("view") ?? "";
  return PAGES.includes(named) ? named : PAGES[0];
}

/** @param {(page: string) => void} callback */
export function prepareNavigation(callback) {
  onShown = callback;
  for (const page of PAGES) {
    byId(`co-to-${page}`).addEventListener("click", (event) => {
      const { ctrlKey, metaKey, shiftKey } = /** @type {MouseEvent} */ (event);
      if (ctrlKey || metaKey || shiftKey) return; // a new tab or window: the link as it is
      event.preventDefault();
      history.pushState(null, "", `?${new URLSearchParams({ view: page })}`);
      showPage();
    });
  }
  addEventListener("popstate", showPage);
}

/** Show the page of the address. */
export function showPage() {
  const page = currentPage();
  document.body.dataset.page = page;
  for (const name of PAGES) {
    const link = byId(`co-to-${name}`);
    if (name === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  onShown(page);
}

/** @param {string} name @returns {string} what the address says of the view, or "" */
export const inView = (name) => new URLSearchParams(location.search).get(name) ?? "";

/**
 * Let the address hold the view; the page before stays reachable by going back.
 * @param {Record<string, string>} values empty ones are left out
 */
export function keepView(values) {
  const kept = new URLSearchParams({ view: currentPage() });
  for (const [name, value] of Object.entries(values)) if (value) kept.set(name, value);
  history.replaceState(null, "", `?${kept}`);
}
