/** A fill as it goes on: percent, records, rate, what is left, region by region. */

import { byId, element, progress, say, show } from "./dom.js";
import { count, several, span } from "./format.js";

/** @param {any} job the answer of gap-filler/status @param {boolean} mayChange whether the person may cancel and retry */
export function showJob(job, mayChange) {
  const running = job.status === "in_progress";
  byId("co-fill-progress").dataset.status = job.status;
  const state = running ? job.phase : job.reason || job.status;
  say("co-fill-title", `${job.task_id}: ${state}`);
  progress("co-fill-bar", job.percent_complete);
  say("co-fill-percent", `${job.percent_complete.toFixed(running ? 1 : 0)} %`);
  say("co-fill-records", `${several(job.records_filled, "record")}, ${several(job.predictions_made, "prediction")}`);
  say("co-fill-rate", rate(job));
  say("co-fill-eta", eta(job));
  byId("co-fill-regions").replaceChildren(...regions(job.shards));
  byId("co-fill-errors").replaceChildren(...job.errors.map(complaint));
  show("co-fill-cancel", running && mayChange);
  show("co-fill-retry", !running && mayChange && job.shards_failed > 0);
}

/** @param {any} job @returns {number} seconds since it began, to its end where it has one; NaN before it began */
export const tookS = (job) =>
  ((job.finished_at ? Date.parse(job.finished_at) : Date.now()) - Date.parse(job.started_at)) / 1000;

/** @param {any} job */
function rate(job) {
  const seconds = tookS(job);
  return seconds > 0 && job.records_filled ? `${count(Math.round(job.records_filled / seconds))} records/s` : "";
}

/** @param {any} job */
function eta(job) {
  if (job.status === "in_progress") return job.eta_seconds === null ? "" : `${span(job.eta_seconds)} left`;
  return Number.isFinite(tookS(job)) ? `took ${tookS(job).toFixed(1)} s` : "";
}

/** @param {{region: string, state: string}[]} shards @returns {HTMLElement[]} a bar for each region */
function regions(shards) {
  const names = [...new Set(shards.map((shard) => shard.region))].sort();
  return names.flatMap((name) => {
    const own = shards.filter((shard) => shard.region === name);
    const done = own.filter((shard) => shard.state === "done").length;
    const failed = own.filter((shard) => shard.state === "failed").length;
    const bar = element("div", { class: "co-bar", "aria-hidden": "true" }, element("div"));
    /** @type {HTMLElement} */ (bar.firstElementChild).style.width = `${(done / own.length) * 100}%`;
    const words = `${done} of ${several(own.length, "shard")}${failed ? `, ${failed} failed` : ""}`;
    return [element("dt", {}, name), element("dd", {}, bar, element("span", { class: "co-note" }, words))];
  });
}

/** @param {{region: string, shard: number, kind: string, detail: string}} error */
const complaint = ({ region, shard, kind, detail }) =>
  element("li", {}, `${region}${shard ? `, shard ${shard}` : ""}: ${kind}: ${detail}`);
