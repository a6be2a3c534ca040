/** How a person wants to see the page: dark or light, times in UTC or in the browser's own zone. */

import { byId, say } from "./dom.js";
import { zone } from "./format.js";

const SCHEME = "co-scheme";
const DARK = "dark"; // what Gradio puts on the body

/** @param {() => void} onTimes called when times are to be written anew */
export function prepareAppearance(onTimes) {
  byId("co-scheme").addEventListener("click", () => {
    localStorage.setItem(SCHEME, document.body.classList.contains(DARK) ? "light" : DARK);
    showScheme();
  });
  byId("co-zone-switch").addEventListener("click", () => {
    zone.choose(zone.isLocal ? "utc" : "local");
    showZone();
    onTimes();
  });
  new MutationObserver(showScheme).observe(document.body, { attributeFilter: ["class"] });
  showScheme();
  showZone();
}

/** Gradio follows the system and sets its class late; a choice made here stands above both. */
function showScheme() {
  const chosen = localStorage.getItem(SCHEME);
  const dark = document.body.classList.contains(DARK);
  if (chosen && (chosen === DARK) !== dark) document.body.classList.toggle(DARK, chosen === DARK);
  const now = document.body.classList.contains(DARK);
  say("co-scheme", now ? "Light" : "Dark");
  byId("co-scheme").setAttribute("aria-label", now ? "Use light colours" : "Use dark colours");
}

function showZone() {
  say("co-zone-switch", zone.name);
  byId("co-zone-switch").setAttribute("aria-label", `Times are in ${zone.name}; switch to ${zone.isLocal ? "UTC" : "local time"}`);
}
