/** Numbers and instants as people read them. */

const WHOLE = new Intl.NumberFormat("en");
const BYTES = ["B", "kB", "MB", "GB"];

/** @param {number} value */
export const count = (value) => WHOLE.format(value);

/** @param {number} usd per hour; prices have four decimals */
export const price = (usd) => `$${usd.toFixed(4)}`;

/** @param {number} share 0 to 1 @param {number} [digits] */
export const percent = (share, digits = 1) => `${(share * 100).toFixed(digits)} %`;

/** @param {string} iso @returns {string} in UTC, to the minute */
export const minute = (iso) => `${iso.slice(0, 10)} ${iso.slice(11, 16)}`;

/** @param {string} iso @returns {string} time of day in UTC */
export const clock = (iso) => iso.slice(11, 19);

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
