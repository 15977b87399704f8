// The box in which a class is looked up by typing, or made where there is none.

import { brief, NOBODY } from "./outbox.js";

const dialog = document.getElementById("search");
const text = document.getElementById("search-text");
const list = document.getElementById("classes");
const RETRY = 2000; // milliseconds until classes that did not come are asked for again
let settle = null; // the promise of who opened it
let timer = null; // until the next try
let enter = false; // Enter was pressed before the classes for the whole word were there

// Ask for a class: returns {label, name}, {name} for one to make, or null.
export function askForClass() {
  text.value = "";
  list.replaceChildren();
  enter = false;
  dialog.showModal();
  text.focus();
  text.dispatchEvent(new CustomEvent("open"));
  return new Promise((resolve) => {
    settle = resolve;
  });
}

function options() {
  return [...list.querySelectorAll("[role=option]")];
}

function chosen() {
  return list.querySelector("[aria-selected=true]");
}

function choose(option) {
  chosen()?.setAttribute("aria-selected", "false");
  option?.setAttribute("aria-selected", "true");
  option?.scrollIntoView({ block: "nearest" });
  if (option) text.setAttribute("aria-activedescendant", option.id);
  else text.removeAttribute("aria-activedescendant");
}

function step(by) {
  const all = options();
  if (!all.length) return;
  const now = Math.max(all.indexOf(chosen()), by < 0 ? 0 : -1); // from the end where none is chosen
  choose(all[(now + by + all.length) % all.length]);
}

function upToDate() {
  return list.firstElementChild?.dataset.typed === text.value;
}

function take(option) {
  if (!option) return;
  const { label, name } = option.dataset;
  finish(name === undefined ? { label: Number(label), name: option.textContent } : { name });
}

function finish(result) {
  const done = settle;
  settle = null;
  if (dialog.open) dialog.close();
  done?.(result);
}

text.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") step(1);
  else if (event.key === "ArrowUp") step(-1);
  else if (event.key !== "Enter" || event.isComposing || event.repeat) return;
  else if (upToDate()) take(chosen());
  else enter = true;
  event.preventDefault();
});

text.addEventListener("input", () => {
  enter = false;
});

document.addEventListener("htmx:after:swap", () => {
  if (!dialog.open || !upToDate()) return;
  choose(text.value.trim() ? options()[0] : null); // Enter alone is to be no answer
  if (enter) take(chosen());
});

// Say that the classes did not come, and ask again for as long as somebody waits for them.
function failed(why) {
  if (list.textContent !== why) {
    const line = document.createElement("p");
    line.className = "hint fault";
    line.setAttribute("role", "alert");
    line.textContent = why;
    list.replaceChildren(line);
    choose(null);
  }
  clearTimeout(timer);
  timer = setTimeout(() => dialog.open && text.dispatchEvent(new CustomEvent("open")), RETRY);
}

document.addEventListener("htmx:error", ({ target }) => {
  if (target === text) failed(`${NOBODY} The classes are asked for again.`);
});

document.addEventListener("htmx:response:error", ({ target, detail }) => {
  if (target === text) failed(`The server has no classes: ${brief(detail.ctx.text)}.`);
});

list.addEventListener("click", ({ target }) => take(target.closest("[role=option]")));
dialog.addEventListener("close", () => finish(null)); // Esc
