/** Numbers and instants as people read them. */

const WHOLE = new Intl.NumberFormat("en");
const BYTES = ["B", "kB", "MB", "GB"];

/** @param {number} value */
export const count = (value) => WHOLE.format(value);

/** @param {number} usd per hour; prices have four decimals */
export const price = (usd) => `$${usd.toFixed(4)}`;

/** @param {number} share 0 to 1 @param {number} [digits] */
export const percent = (share, digits = 1) => `${(share * 100).toFixed(digits)} %`;

const ZONE = "co-zone";

/** The zone that times are shown in; a person's choice, kept by the browser. */
export const zone = {
  get isLocal() {
    return localStorage.getItem(ZONE) === "local";
  },
  /** Its short name, such as "UTC" or "GMT+1". */
  get name() {
    if (!this.isLocal) return "UTC";
    const parts = new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts(new Date());
    return parts.find((part) => part.type === "timeZoneName")?.value ?? "local";
  },
  /** @param {"utc" | "local"} choice */
  choose(choice) {
    localStorage.setItem(ZONE, choice);
  },
};

/** @param {string} iso @returns {string} the instant on the clocks of the chosen zone, without naming it */
export function shown(iso) {
  const at = new Date(iso);
  return new Date(at.getTime() - (zone.isLocal ? at.getTimezoneOffset() * 60_000 : 0)).toISOString().slice(0, -1);
}

/** @param {string} iso @returns {string} to the minute */
export const minute = (iso) => shown(iso).slice(0, 16).replace("T", " ");

/** @param {string} iso @returns {string} time of day */
export const clock = (iso) => shown(iso).slice(11, 19);

/** @param {number} seconds */
export function span(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** @param {number} size */
export function bytes(size) {
  const power = Math.min(Math.floor(Math.log10(Math.max(size, 1)) / 3), BYTES.length - 1);
  return `${(size / 1000 ** power).toFixed(power ? 1 : 0)} ${BYTES[power]}`;
}

/** @param {number} number @param {string} word @returns {string} such as "1 region" or "2 regions" */
export const several = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
