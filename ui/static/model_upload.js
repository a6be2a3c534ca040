/** Taking a model in: pick or drop a file, say what it is, watch it go, read why it was refused. */

import { upload } from "./api.js";
import { byId, complain, progress, say, show } from "./dom.js";
import { bytes } from "./format.js";

const PLACE = "co-models-problem";

/** @param {() => Promise<void>} onTaken called after each attempt */
export function prepareUpload(onTaken) {
  const form = byId("co-upload-form");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await send();
    await onTaken();
  });
  const input = /** @type {HTMLInputElement} */ (byId("co-file"));
  for (const name of ["dragover", "dragleave", "drop"]) {
    form.addEventListener(name, (event) => {
      event.preventDefault();
      form.toggleAttribute("data-over", name === "dragover");
      const dropped = /** @type {DragEvent} */ (event).dataTransfer?.files;
      if (name === "drop" && dropped?.length) input.files = dropped;
    });
  }
}

async function send() {
  complain(PLACE);
  /** @type {FormData} */
  let form;
  try {
    form = await order();
  } catch (error) {
    return complain(PLACE, error);
  }
  const button = byId("co-upload");
  button.setAttribute("disabled", "");
  show("co-upload-bar", true);
  const { done, cancel } = upload("/models/upload", form, showSent);
  byId("co-upload-cancel").onclick = cancel;
  show("co-upload-cancel", true);
  try {
    const model = await done;
    say("co-upload-state", `${model.model_id} is registered.`);
    /** @type {HTMLFormElement} */ (byId("co-upload-form")).reset();
  } catch (error) {
    say("co-upload-state", error ? "Refused; nothing of it was kept." : "Cancelled.");
    if (error) complain(PLACE, error);
  }
  button.removeAttribute("disabled");
  show("co-upload-cancel", false);
  show("co-upload-bar", false);
}

/** @param {number} sent @param {number} total bytes */
function showSent(sent, total) {
  const percent = total ? (sent / total) * 100 : 0;
  progress("co-upload-bar", percent);
  const checking = sent >= total;
  say("co-upload-state", checking ? "Sent; the server checks it." : `${percent.toFixed(0)} % of ${bytes(total)}`);
}

/** @returns {Promise<FormData>} what the API takes, from the form */
async function order() {
  const value = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).value;
  const file = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id)).files?.[0];
  const form = new FormData();
  form.set("model_name", value("co-model-name"));
  form.set("version", value("co-model-version"));
  form.set("trained_until_date", value("co-trained-until"));
  const given = file("co-metadata");
  const basic = { task: value("co-task"), horizon_hours: Number(value("co-horizon")) };
  form.set("metadata", given ? await given.text() : JSON.stringify(basic));
  form.set("file", /** @type {File} */ (file("co-file")));
  return form;
}
