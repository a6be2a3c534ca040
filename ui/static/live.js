/** The live panel: one pool's past from the history routes, then point by point from the predictions stream. */

import { get, query } from "./api.js";
import { Chart } from "./chart.js";
import { byId, complain, offer, say, show } from "./dom.js";
import { clock, percent, price, several, zone } from "./format.js";
import { showData, showFeed, showMarket } from "./status.js";
import { Stream } from "./stream.js";

const PLACE = "co-live-problem";
const HOUR_MS = 3600_000;
const FILTERS = ["co-region", "co-type", "co-zone", "co-range"];

/** @typedef {{pool_id: string, region: string, instance_type: string, availability_zone: string,
 *   product_description: string, observed_at: string, spot_price: number, interruption_probability?: number | null,
 *   predicted_price?: number | null}} Row */

/** @type {Chart | undefined} */
let chart;
/** @type {Stream | undefined} */
let stream;
/** What the filters choose from. @type {Row[]} */
let pools = [];
/** Counts openings, so that an answer to an earlier choice is dropped. */
let turn = 0;
let points = 0;
/** Called with each change of the active models. @type {() => void} */
let onModelsChanged = () => {};
let generations = "";

/** @param {() => void} callback */
export function prepareLive(callback) {
  onModelsChanged = callback;
  for (const id of FILTERS) byId(id).addEventListener("change", () => void openPool());
}

/** Start from what the loop said last. */
export async function openLive() {
  chart ??= new Chart(byId("co-chart"));
  try {
    const latest = await get("/predictions/latest");
    pools = latest.predictions;
    showMarket(latest);
    await openPool();
  } catch (error) {
    complain(PLACE, error);
  }
}

export function closeLive() {
  turn += 1;
  stream?.close();
  stream = undefined;
}

/** The page is shown again. */
export function showLive() {
  void chart?.fit();
}

/** Draw the chosen pool anew, as after a fill. */
export async function redrawLive() {
  if (pools.length) await openPool();
}

/** @param {string} id */
const chosen = (id) => /** @type {HTMLSelectElement} */ (byId(id)).value;

/** @returns {Row | undefined} the chosen pool; the filters offer only what goes together */
function choose() {
  const names = (/** @type {Row[]} */ rows, /** @type {keyof Row} */ field) =>
    [...new Set(rows.map((row) => String(row[field])))].sort();
  offer("co-region", names(pools, "region"));
  const there = pools.filter((row) => row.region === chosen("co-region"));
  offer("co-type", names(there, "instance_type"));
  const such = there.filter((row) => row.instance_type === chosen("co-type"));
  offer("co-zone", names(such, "availability_zone"));
  return such.find((row) => row.availability_zone === chosen("co-zone"));
}

async function openPool() {
  closeLive();
  const mine = turn;
  const pool = choose();
  if (!pool) return hint("No prices yet: the live loop has not told of any pool.");
  complain(PLACE);
  const filters = { region: pool.region, instance_type: pool.instance_type };
  const onMessage = (/** @type {any} */ message) => void take(message, pool.pool_id);
  const days = Number(chosen("co-range"));
  /** @type {number | undefined} */
  let after;
  try {
    const [drawn, latest] = await Promise.all([past(pool.pool_id, days), get(`/predictions/latest${query(filters)}`)]);
    if (mine !== turn) return;
    await chart?.set(`${pool.pool_id} ${days}`, drawn.series, drawn.range);
    await take({ ...latest, type: "predictions" }, pool.pool_id);
    after = latest.seq;
  } catch (error) {
    complain(PLACE, error);
  }
  if (mine === turn) stream = new Stream("predictions", filters, { onMessage, onState: showFeed }, after);
}

/** @param {string} text what to do next, or "" */
function hint(text) {
  show("co-live-empty", text !== "");
  say("co-live-empty", text);
}

/** @param {string} poolId @param {number} days */
async function past(poolId, days) {
  const now = new Date();
  const from = new Date(now.getTime() - days * 24 * HOUR_MS);
  const asked = { pool_id: poolId, start: from.toISOString() };
  const [told, prices] = await Promise.all([
    get(`/predictions/history${query({ ...asked, limit: 20000 })}`),
    get(`/prices/history${query(asked)}`),
  ]);
  const series = { actual: { x: prices.columns.at, y: prices.columns.spot_price }, ...predictions(told.columns) };
  // The price that held at the start was set before it.
  if (series.actual.x.length && series.actual.x[0] < from.toISOString()) series.actual.x[0] = from.toISOString();
  const last = series.predicted.x.at(-1) ?? series.risk.x.at(-1) ?? now.toISOString();
  return { series, range: { from, to: new Date(Math.max(Date.parse(last), now.getTime()) + HOUR_MS) } };
}

/** @param {Record<string, any[]>} columns @returns the predictions by task, each where its horizon ends */
function predictions(columns) {
  const predicted = { x: /** @type {string[]} */ ([]), y: /** @type {number[]} */ ([]) };
  const risk = { x: /** @type {string[]} */ ([]), y: /** @type {number[]} */ ([]) };
  columns.task.forEach((task, index) => {
    const line = task === "spot_price" ? predicted : risk;
    line.x.push(columns.target_at[index]);
    line.y.push(columns.value[index]);
  });
  return { predicted, risk };
}

/** @param {any} message of the stream @param {string} poolId */
async function take(message, poolId) {
  if (message.type === "hello") showMarket(message);
  if (message.type === "reset") return openPool();
  if (message.type !== "predictions") return;
  showData(message);
  noticeModels(message.models);
  const none = Object.keys(message.models).length === 0;
  hint(none ? "No model is active. Upload one below and activate it; until then only prices are shown." : "");
  const row = /** @type {Row[]} */ (message.predictions).find((one) => one.pool_id === poolId);
  if (row) await plot(row, message);
  if (!row || !("previous" in message)) return; // the snapshot, not an event of the stream
  points += 1;
  say("co-live-count", several(points, "live update"));
  byId("co-chart").dataset.live = String(points);
}

/** @param {Row} row @param {any} message */
async function plot(row, message) {
  const ends = (/** @type {string} */ task) =>
    new Date(Date.parse(message.as_of) + message.models[task].horizon_hours * HOUR_MS).toISOString();
  const now = new Date(message.as_of).toISOString();
  const { predicted_price: predicted, interruption_probability: risk } = row;
  say("co-now-price", `Price ${price(row.spot_price)} at ${clock(now)} ${zone.name}`);
  say("co-now-predicted", predicted == null ? "" : `Predicted ${price(predicted)} in ${message.models.spot_price.horizon_hours} h`);
  say("co-now-risk", risk == null ? "" : `Interruption ${percent(risk)} within ${message.models.spot_interruption.horizon_hours} h`);
  // The price holds since it was observed; the history may not have it yet.
  if (row.observed_at > (chart?.series.actual.x.at(-1) ?? "")) {
    await chart?.add({ actual: { x: row.observed_at, y: row.spot_price } });
  }
  await chart?.add({
    actual: { x: now, y: row.spot_price },
    ...(predicted == null ? {} : { predicted: { x: ends("spot_price"), y: predicted } }),
    ...(risk == null ? {} : { risk: { x: ends("spot_interruption"), y: risk } }),
  });
}

/** @param {Record<string, {model_id: string, generation: number}>} models */
function noticeModels(models) {
  const now = Object.values(models).map((model) => `${model.model_id} ${model.generation}`).join();
  if (generations && now !== generations) onModelsChanged();
  generations = now;
}
