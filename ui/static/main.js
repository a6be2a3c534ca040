/** Brings the page to life once Gradio has drawn it: who is there, and then each panel. */

import { whenSignedOut } from "./api.js";
import { prepareAppearance } from "./appearance.js";
import { closeDecisions, openDecisions } from "./decisions.js";
import { drawn } from "./dom.js";
import { openEngines, prepareEngines } from "./engines.js";
import { follow, openGapFiller, prepareGapFiller } from "./gap_filler.js";
import { closeLive, openLive, prepareLive, redrawLive, showLive } from "./live.js";
import { listModels, openModels, prepareModels } from "./models.js";
import { prepareNavigation, showPage } from "./navigation.js";
import { forget, offerSignIn, offerSignOut, resume, showPerson } from "./session.js";
import { showAge } from "./status.js";

const OPERATORS = new Set(["operator", "admin"]);
let isOpen = false;

/** @param {import("./session.js").Person} person */
async function open(person) {
  isOpen = true;
  showPerson(person);
  const may = OPERATORS.has(person.role);
  await Promise.all([openModels(may), openEngines(may, person.role === "admin"), openGapFiller(may), openLive(), openDecisions()]);
}

function close() {
  if (!isOpen) return;
  isOpen = false;
  forget();
  closeLive();
  closeDecisions();
  showPerson(null);
}

function writeTimesAnew() {
  if (!isOpen) return;
  closeDecisions();
  void Promise.all([listModels(), redrawLive(), openDecisions()]);
}

async function start() {
  const panels = ["co-sign-in-form", "co-models", "co-model-details", "co-gap-title", "co-chart", "co-decisions", "co-strip", "co-engines"];
  await Promise.all(panels.map(drawn));
  prepareAppearance(writeTimesAnew);
  prepareNavigation((page) => page === "live" && showLive());
  showPage();
  prepareEngines();
  prepareModels((answer) => {
    if (answer.gap_fill_task_id) void follow(answer.gap_fill_task_id);
  });
  prepareGapFiller(() => void redrawLive());
  prepareLive(() => void listModels());
  offerSignIn((person) => void open(person));
  offerSignOut(close);
  whenSignedOut(close);
  setInterval(showAge, 1000);
  const person = await resume();
  if (person) await open(person);
  else showPerson(null);
}

void start();
