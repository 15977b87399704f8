// The main page: a few images in the browser's hands, the first one in sight.

import { ask } from "./ask.js";
import { onKey } from "./keys.js";
import { outbox } from "./outbox.js";
import { askForClass } from "./search.js";
import { say, takenBack } from "./standing.js";

const SKIPPED = -1;
const EXCLUDED = -2;
const POLL = 1500; // milliseconds between looks for new images
const POLL_OVER = 15000; // where all is done, unless somebody takes an answer back

const deck = document.getElementById("deck");
let last = null; // {name, row, saved} of the last answer
let timer = null;

function cards() {
  return [...deck.querySelectorAll(".card")];
}

function current() {
  return cards()[0];
}

// Tell whether a card's image can be judged: it is there, or never will be.
function seen(card) {
  const image = card.querySelector("img");
  return image.complete;
}

function answer(card, fields, name) {
  outbox.add("/answer", [card.dataset.row], { row: card.dataset.row, ...fields });
  last = { name, row: Number(card.dataset.row), saved: false };
  card.remove();
  if (!cards().length) deck.replaceChildren(waiting());
  show();
}

function waiting() {
  const state = document.createElement("p");
  state.className = "state";
  state.textContent = "One moment …";
  return state;
}

// Bring the first card into sight.
function show() {
  cards().forEach((card, index) => {
    card.hidden = index > 0;
  });
  const card = current();
  if (card) {
    tellLast();
    card.focus({ preventScroll: true });
    document.getElementById("main").scrollTop = 0;
    scrollTo(0, 0);
    const first = card.querySelector("[data-label]");
    say(first ? `Next image. Most likely ${first.dataset.name}.` : "Next image.");
    cards()[1]?.querySelector("img").decode().catch(() => {}); // ready to be shown at once
  }
  plan();
}

// Below the buttons: what the last answer was, and whether it is saved.
function tellLast() {
  const place = current()?.querySelector("[data-last]");
  if (!place || !last) return;
  const name = document.createElement("b");
  name.textContent = last.name;
  place.replaceChildren("Last: ", name, last.saved ? " · saved" : " …");
}

// Take in what the server says that this person holds. A card in the browser stays where it is.
function takeIn(html, { anew = false } = {}) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const fresh = [...page.querySelectorAll(".card")].filter((card) => !outbox.has(card.dataset.row));
  const state = page.querySelector(".state");
  const before = current();
  if (anew) deck.replaceChildren();
  const here = new Set(cards().map((card) => card.dataset.row));
  const news = fresh.filter((card) => !here.has(card.dataset.row));
  if (news.length && !here.size) deck.replaceChildren();
  deck.append(...news);
  if (!cards().length && state && !outbox.size) standStill(state);
  else if (!cards().length && !deck.children.length) deck.append(waiting());
  if (current() !== before) show();
  else plan();
}

// Say that there is nothing to label now, without a flicker where that was said before.
function standStill(state) {
  if (document.getElementById("state")?.textContent === state.textContent) return;
  deck.replaceChildren(state);
  const heading = state.querySelector("h1");
  if (heading) say(heading.textContent);
}

// Look again later where there is nothing to do; others may give images back even at the end.
function plan() {
  clearTimeout(timer);
  const over = deck.querySelector("[data-state=over]");
  if (!cards().length) timer = setTimeout(() => look(), over ? POLL_OVER : POLL);
}

async function look(options) {
  const html = await ask("/deck");
  if (html === null) plan();
  else takeIn(html, options);
}

async function other(card) {
  const found = await askForClass();
  if (card !== current()) return;
  if (!found) card.focus({ preventScroll: true });
  else if (found.label === undefined) answer(card, { name: found.name }, found.name);
  else answer(card, { label: found.label }, found.name);
}

function press(what) {
  if (outbox.undoing) return;
  if (what === "undo") {
    outbox.undo();
    return;
  }
  const card = current();
  if (!card || !seen(card)) return;
  if (what === "other") other(card);
  else if (what === "skip") answer(card, { label: SKIPPED }, "skipped");
  else if (what === "exclude") answer(card, { label: EXCLUDED }, "none of these");
  else if (what) answer(card, { label: what.dataset.label }, what.dataset.name);
}

deck.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button) press(button.dataset.do ?? button);
});

const DO = { o: "other", s: "skip", x: "exclude", u: "undo" };

onKey(({ key }) => {
  if (key >= "1" && key <= "5") press(current()?.querySelectorAll("[data-label]")[key - 1]);
  else if (DO[key.toLowerCase()]) press(DO[key.toLowerCase()]);
  else if (key.toLowerCase() === "g") location.href = "/grid";
  else return false;
  return true;
});

outbox.addEventListener("saved", ({ detail }) => {
  if (detail.entry.rows.includes(last?.row)) last.saved = true;
  takeIn(detail.html ?? "");
  tellLast();
});

outbox.addEventListener("dropped", ({ detail }) => {
  if (!detail.entry.rows.includes(last?.row)) return;
  last = null;
  current()?.querySelector("[data-last]").replaceChildren("Last: dropped, not saved");
});

outbox.addEventListener("undone", ({ detail }) => {
  if (detail.reason) {
    look({ anew: true }); // the server knows whether it was done
  } else {
    last = null;
    takeIn(detail.html, { anew: true });
    current()?.querySelector("[data-last]").replaceChildren(takenBack(detail));
  }
  say(takenBack(detail));
});

outbox.addEventListener("change", () => {
  if (!outbox.size && !cards().length) look(); // an answer was dropped
});

// What was answered before a reload is on its way, and not asked again.
cards().filter((card) => outbox.has(card.dataset.row)).forEach((card) => card.remove());
show();
