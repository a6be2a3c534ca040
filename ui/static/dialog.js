/** Asking before something is done that others would notice. */

import { element } from "./dom.js";

/**
 * @param {{title: string, text: string, action: string, typed?: string}} question `typed`: what must be typed first
 * @returns {Promise<boolean>} whether the person said yes
 */
export function ask({ title, text, action, typed }) {
  const yes = /** @type {HTMLButtonElement} */ (element("button", { type: "submit", class: "co-primary" }, action));
  const no = element("button", { type: "button", class: "co-quiet" }, "Cancel");
  const form = element("form", { method: "dialog" }, element("h2", { id: "co-dialog-title" }, title), element("p", {}, text));
  if (typed !== undefined) {
    const input = /** @type {HTMLInputElement} */ (element("input", { type: "text", autocomplete: "off" }));
    form.append(element("label", { class: "co-field" }, `Type ${typed} to go on`, input));
    yes.disabled = true;
    input.addEventListener("input", () => (yes.disabled = input.value !== typed));
  }
  form.append(element("div", { class: "co-actions" }, yes, no));
  const dialog = /** @type {HTMLDialogElement} */ (
    element("dialog", { class: "co-panel co-dialog", "aria-labelledby": "co-dialog-title" }, form)
  );
  /** @type {Element} */ (document.querySelector(".gradio-container")).append(dialog);
  return new Promise((resolve) => {
    let agreed = false;
    form.addEventListener("submit", () => (agreed = true));
    no.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(agreed);
    });
    dialog.showModal();
  });
}
