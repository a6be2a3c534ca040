/** The client of the HTTP API; signed in by a cookie that no script can read. */

const ROOT = location.pathname.replace(/\/ui(\/.*)?$/, "");
export const API = `${ROOT}/api/v1/ml`;

/** A problem document (RFC 9457), or what stands in for one when there was no answer. */
export class Problem extends Error {
  /**
   * @param {{status: number, title: string, detail: string, advice?: string, type?: string,
   *   errors?: {line?: number | null, field?: string, detail: string}[]}} document
   */
  constructor(document) {
    super(document.detail);
    this.status = document.status;
    this.title = document.title;
    this.detail = document.detail;
    this.advice = document.advice ?? "";
    this.type = document.type ?? "";
    /** What is wrong one by one, with its line or field. */
    this.errors = document.errors ?? [];
  }
}

/** @param {number} status @param {string} text */
function problem(status, text) {
  try {
    const told = JSON.parse(text);
    if (told.title && told.detail) return new Problem({ ...told, status });
  } catch {
    // not a problem document: a proxy's page, or nothing at all
  }
  return status
    ? new Problem({ status, title: "The server failed", detail: `It answered ${status}.`, advice: "Try again." })
    : unreachable();
}

function unreachable() {
  return new Problem({
    status: 0,
    title: "The server cannot be reached",
    detail: "There was no answer.",
    advice: "See whether it runs, then try again.",
  });
}

/** Called with every problem that says that nobody is signed in. @type {() => void} */
let onSignedOut = () => {};

/** @param {() => void} callback */
export function whenSignedOut(callback) {
  onSignedOut = callback;
}

/**
 * @param {string} method @param {string} path below the API's root @param {unknown} [body]
 * @returns {Promise<any>} the answer; rejects with a Problem
 */
async function call(method, path, body) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(API + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw unreachable();
  }
  const text = await answer.text();
  if (answer.ok) return text ? JSON.parse(text) : null;
  if (answer.status === 401 && !(method === "POST" && path === "/auth/session")) onSignedOut();
  throw problem(answer.status, text);
}

/** @param {string} path */
export const get = (path) => call("GET", path);
/** @param {string} path @param {unknown} [body] */
export const post = (path, body) => call("POST", path, body);
/** @param {string} path */
export const remove = (path) => call("DELETE", path);

/**
 * Upload a form, telling how much of it has left.
 * @param {string} path @param {FormData} form
 * @param {(sent: number, total: number) => void} onProgress bytes
 * @returns {{done: Promise<any>, cancel: () => void}}
 */
export function upload(path, form, onProgress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => onProgress(event.loaded, event.total);
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(null);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) return resolve(JSON.parse(request.responseText));
      if (request.status === 401) onSignedOut();
      reject(problem(request.status, request.responseText));
    };
  });
  request.open("POST", API + path);
  request.send(form);
  return { done, cancel: () => request.abort() };
}

/**
 * @param {Record<string, string | number | undefined>} values
 * @returns {string} as a query, with its question mark
 */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}
