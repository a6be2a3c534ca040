/** A live stream over a WebSocket that comes back by itself and goes on where it stopped. */

import { API, get, query } from "./api.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;
// Two heartbeats and a little: with nothing for so long, the line is dead even when nobody has said so.
const SILENT_HEARTBEATS = 2.5;

/** @typedef {"connecting" | "live" | "reconnecting" | "closed"} StreamState */

export class Stream {
  /**
   * @param {"predictions" | "decisions"} kind
   * @param {Record<string, string>} filters
   * @param {{onMessage: (message: any) => void, onState?: (state: StreamState) => void}} callbacks
   * @param {number} [after] resume: events with a greater seq
   */
  constructor(kind, filters, callbacks, after) {
    this.kind = kind;
    this.filters = filters;
    this.callbacks = callbacks;
    this.after = after;
    this.pause = FIRST_PAUSE_MS;
    this.silence = 60000;
    /** @type {WebSocket | undefined} */
    this.socket = undefined;
    this.closed = false;
    this.#open();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket?.close();
    this.#tell("closed");
  }

  /** @param {StreamState} state */
  #tell(state) {
    this.callbacks.onState?.(state);
  }

  #open() {
    this.#tell(this.pause === FIRST_PAUSE_MS && this.after === undefined ? "connecting" : "reconnecting");
    const address = new URL(`${API}/${this.kind}/live${query({ ...this.filters, after: this.after })}`, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.onmessage = (event) => this.#take(JSON.parse(event.data));
    socket.onclose = () => this.#again();
  }

  /** @param {any} message */
  #take(message) {
    this.#watch();
    if (message.type === "hello") {
      this.pause = FIRST_PAUSE_MS;
      this.silence = message.heartbeat_seconds * 1000 * SILENT_HEARTBEATS;
      // On a resume, hello's seq is ahead of what has yet to come.
      this.after ??= message.seq;
      this.#tell("live");
    } else {
      this.after = Math.max(this.after ?? 0, message.seq);
    }
    this.callbacks.onMessage(message);
  }

  #watch() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.socket?.close(), this.silence);
  }

  async #again() {
    clearTimeout(this.timer);
    if (this.closed) return;
    this.#tell("reconnecting");
    await new Promise((resolve) => setTimeout(resolve, this.pause * (0.75 + Math.random() / 2)));
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
    // A browser does not say why a WebSocket was refused; the API does.
    if (!(await signedIn())) return;
    if (!this.closed) this.#open();
  }
}

/** @returns {Promise<boolean>} false only when the server says so */
async function signedIn() {
  try {
    await get("/auth/session");
  } catch (error) {
    return /** @type {any} */ (error).status !== 401;
  }
  return true;
}
