/** The status strip: whose market, which models, how old the data are, whether the feed is live. */

import { byId, say, show } from "./dom.js";
import { span } from "./format.js";

const STALE_S = 180;
/** @type {number | undefined} */
let dataAt;

/** @param {{simulated: boolean}} told */
export function showMarket(told) {
  show("co-simulated", told.simulated);
}

/** @param {{as_of: string, models: Record<string, {model_id: string, generation: number}>}} told */
export function showData(told) {
  dataAt = Date.parse(told.as_of);
  for (const task of ["spot_interruption", "spot_price"]) {
    const model = told.models[task];
    say(`co-model-${task}`, model ? `${model.model_id} · generation ${model.generation}` : "no model active");
  }
  showAge();
}

/** @param {string} engineId the one that decides */
export function showEngine(engineId) {
  say("co-engine", engineId || "none selected");
}

/** @param {import("./stream.js").StreamState} state */
export function showFeed(state) {
  byId("co-feed-dot").dataset.state = state;
  say("co-feed", state);
}

export function showAge() {
  if (dataAt === undefined) return say("co-age", "waiting for the first prices");
  const age = (Date.now() - dataAt) / 1000;
  say("co-age", `${span(age)} old`);
  byId("co-age").dataset.stale = String(age > STALE_S);
}
