/** Signing in and out: the one-use link (#code=…), a token, or the cookie of an earlier visit. */

import { get, post, remove } from "./api.js";
import { byId, complain, say } from "./dom.js";

// Says only that there may be a session, so that a first visit asks the server nothing.
const HINT = "co-signed-in";

/** @typedef {{name: string, role: string}} Person */

/** @returns {string} the code of a sign-in link, taken out of the address */
function takeCode() {
  const found = /^#code=(.+)$/.exec(location.hash);
  if (!found) return "";
  history.replaceState(null, "", location.pathname + location.search);
  return decodeURIComponent(found[1]);
}

/** @returns {Promise<Person | null>} who is signed in, if anybody */
export async function resume() {
  const code = takeCode();
  let refusal;
  if (code) {
    try {
      return await signIn({ code });
    } catch (error) {
      refusal = error;
    }
  }
  if (localStorage.getItem(HINT)) {
    try {
      return await get("/auth/session");
    } catch {
      localStorage.removeItem(HINT);
    }
  }
  complain("co-sign-in-problem", refusal);
  return null;
}

/** @param {{code: string} | {token: string}} order @returns {Promise<Person>} */
async function signIn(order) {
  const person = await post("/auth/session", order);
  localStorage.setItem(HINT, "1");
  return person;
}

/** @param {Person | null} person */
export function showPerson(person) {
  document.body.dataset.session = person ? "in" : "out";
  say("co-who", person ? `${person.name} (${person.role})` : "");
}

/** @param {(person: Person) => void} onSignedIn */
export function offerSignIn(onSignedIn) {
  const token = /** @type {HTMLInputElement} */ (byId("co-token"));
  byId("co-sign-in-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    complain("co-sign-in-problem");
    try {
      const person = await signIn({ token: token.value.trim() });
      token.value = "";
      onSignedIn(person);
    } catch (error) {
      complain("co-sign-in-problem", error);
    }
  });
}

/** @param {() => void} onSignedOut */
export function offerSignOut(onSignedOut) {
  byId("co-sign-out").addEventListener("click", async () => {
    try {
      await remove("/auth/session");
    } finally {
      forget();
      onSignedOut();
    }
  });
}

export function forget() {
  localStorage.removeItem(HINT);
}
