// The grid: groups of images, confirmed as a whole when the wrong ones are out.

import { ask } from "./ask.js";
import { onKey } from "./keys.js";
import { outbox } from "./outbox.js";
import { askForClass } from "./search.js";
import { say, takenBack } from "./standing.js";

const EXCLUDED = -2;
const POLL = 2000; // milliseconds between looks for a new batch

const place = document.getElementById("groups");
const out = new Set(); // rows that were taken out: they are not shown again here
let dragged = null;
let timer = null;

function groups() {
  return [...place.querySelectorAll(".group")];
}

function open() {
  return groups().filter((group) => !group.classList.contains("sent"));
}

function tiles(group = place) {
  return [...group.querySelectorAll(".group:not(.sent) .tile")];
}

function isIn(tile) {
  return tile.getAttribute("aria-pressed") === "true";
}

// Say what a group holds now and which key is its, and let Tab find one tile of the page.
function refresh() {
  groups().forEach((group, index) => {
    const key = group.querySelector("kbd");
    key.textContent = index + 1;
    key.hidden = index >= 9;
  });
  for (const group of open()) {
    const all = tiles(group);
    const count = all.filter(isIn).length;
    group.querySelector("[data-count]").textContent = count === all.length ? count : `${count} of ${all.length}`;
    const button = group.querySelector(".confirm");
    if (button) {
      button.hidden = count === 0;
      button.querySelector("[data-confirm-count]").textContent = count;
    }
  }
  const all = tiles();
  const reachable = all.find((tile) => tile === document.activeElement) ?? all.find((tile) => tile.tabIndex === 0) ?? all[0];
  all.forEach((tile) => {
    tile.tabIndex = tile === reachable ? 0 : -1;
  });
}

function goTo(tile) {
  if (!tile) return;
  tiles().forEach((other) => {
    other.tabIndex = other === tile ? 0 : -1;
  });
  tile.focus();
  tile.scrollIntoView({ block: "nearest" });
}

function describe(tile) {
  const name = tile.closest(".group").dataset.name;
  const state = isIn(tile) ? `in ${name}` : `out of ${name}, comes back one by one`;
  tile.setAttribute("aria-label", `Image ${tile.dataset.key}, ${state}`);
}

function toggle(tile) {
  tile.setAttribute("aria-pressed", String(!isIn(tile)));
  describe(tile);
  refresh();
}

// Put an image into another group: that is the class it gets when the group is confirmed.
function move(tile, group) {
  if (!group || group.classList.contains("sent") || tile.closest(".group") === group) return;
  group.querySelector(".tiles").append(tile);
  tile.setAttribute("aria-pressed", "true");
  tile.classList.add("moved");
  describe(tile);
  refresh();
  goTo(tile);
  say(`Moved to ${group.dataset.name}.`);
}

// Send what is in a group; what is out stays with this person, for one by one.
function confirm(group) {
  if (!group || group.classList.contains("sent") || Number(group.dataset.label) < 0) return;
  const rows = tiles(group).filter(isIn).map((tile) => tile.dataset.row);
  if (!rows.length) return;
  tiles(group).filter((tile) => !isIn(tile)).forEach((tile) => {
    out.add(tile.dataset.row);
    tile.remove();
  });
  const next = open()[open().indexOf(group) + 1] ?? open().find((other) => other !== group);
  group.dataset.rows = rows.join(",");
  group.classList.add("sent");
  group.querySelector("[data-count]").textContent = `${rows.length} …`;
  outbox.add("/answers", rows, { rows: rows.join(","), labels: rows.map(() => group.dataset.label).join(",") });
  goTo(next && tiles(next)[0]);
  refresh();
  say(`${rows.length} images of ${group.dataset.name} confirmed.`);
}

// Answer one image by itself.
function settle(tile, fields, name) {
  const next = tile.nextElementSibling ?? tile.previousElementSibling;
  const group = tile.closest(".group");
  outbox.add("/answer", [tile.dataset.row], { row: tile.dataset.row, ...fields });
  tile.remove();
  if (!tiles(group).length) group.remove();
  goTo(next ?? tiles()[0]);
  refresh();
  say(`${name}.`);
}

async function other(tile) {
  const found = await askForClass();
  if (!found || !tile.isConnected) return;
  const fields = found.label === undefined ? { name: found.name } : { label: found.label };
  settle(tile, fields, found.name);
}

// The tile above or below: the nearest in the next row of tiles, whatever group that is in.
function vertical(tile, down) {
  const from = tile.getBoundingClientRect();
  const beyond = tiles().map((other) => ({ other, box: other.getBoundingClientRect() }))
    .filter(({ box }) => (down ? box.top > from.top + 1 : box.top < from.top - 1));
  const far = ({ box }) => Math.abs(box.top - from.top) * 1000 + Math.abs(box.left - from.left);
  return beyond.sort((a, b) => far(a) - far(b))[0]?.other;
}

// When all groups are sent and saved: the next batch.
async function lookForMore() {
  clearTimeout(timer);
  if (tiles().length || outbox.size) return;
  await look();
  if (!tiles().length) timer = setTimeout(lookForMore, POLL);
}

async function look() {
  const html = await ask("/grid/batch");
  if (html !== null) takeIn(html);
}

// Take in what the server says that this person holds. A tile on the page stays as it is, in its group.
function takeIn(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const state = page.getElementById("state");
  if (state && document.getElementById("state")?.textContent === state.textContent) return;
  page.querySelectorAll(".tile").forEach((tile) => {
    if (out.has(tile.dataset.row) || outbox.has(tile.dataset.row)) tile.remove();
  });
  const held = new Set([...page.querySelectorAll(".tile")].map((tile) => tile.dataset.row));
  groups().filter((group) => group.dataset.rows?.split(",").every((row) => held.has(row))).forEach(reopen);
  const here = new Set(tiles().map((tile) => tile.dataset.row));
  page.querySelectorAll(".tile").forEach((tile) => {
    if (here.has(tile.dataset.row)) tile.remove();
  });
  const fresh = [...page.querySelectorAll(".group")].filter((group) => group.querySelector(".tile"));
  if (!here.size && (fresh.length || state)) place.replaceChildren(...(state ? [state] : []));
  fresh.forEach(add);
  refresh();
  offerRest();
  if (state) say(state.querySelector("h1").textContent);
  else if (!tiles().includes(document.activeElement)) goTo(tiles()[0]);
}

// Undo the sending of a group.
function reopen(group) {
  delete group.dataset.rows;
  group.classList.remove("sent");
}

// Put the images of a group that comes from the server to those of its class.
function add(group) {
  const there = groups().find((one) => one.dataset.label === group.dataset.label);
  if (!there) place.append(group);
  else if (there.classList.contains("sent")) there.replaceWith(group);
  else there.querySelector(".tiles").append(...group.querySelectorAll(".tile"));
}

// Where only images are left that were taken out, say where they are.
function offerRest() {
  const rest = tiles();
  const there = document.getElementById("rest");
  const due = (rest.length > 0 || out.size > 0) && !rest.some(isIn);
  if (!due) there?.remove();
  else if (!there) {
    const line = document.createElement("p");
    line.id = "rest";
    line.className = "buttons";
    const link = document.createElement("a");
    link.href = "/";
    link.className = "button";
    link.textContent = "Label the rest one by one (g)";
    line.append(link);
    place.append(line);
  }
}

place.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button || outbox.undoing) return;
  if (button.dataset.do === "confirm") confirm(button.closest(".group"));
  else if (button.dataset.do === "undo") outbox.undo();
  else {
    toggle(button);
    goTo(button);
  }
  offerRest();
});

place.addEventListener("dragstart", (event) => {
  dragged = event.target.closest(".tile");
  event.dataTransfer.setData("text/plain", dragged.dataset.key); // Firefox drags nothing without
  event.dataTransfer.effectAllowed = "move";
});

place.addEventListener("dragover", (event) => {
  const group = event.target.closest(".group:not(.sent)");
  if (!dragged || !group) return;
  event.preventDefault();
  groups().forEach((other) => other.classList.toggle("over", other === group));
});

place.addEventListener("drop", (event) => {
  event.preventDefault();
  if (dragged) move(dragged, event.target.closest(".group"));
});

place.addEventListener("dragend", () => {
  dragged = null;
  groups().forEach((group) => group.classList.remove("over"));
});

onKey((event) => {
  if (outbox.undoing) return false;
  const tile = document.activeElement.closest?.(".tile");
  const digit = /^Digit([1-9])$/.exec(event.code)?.[1] ?? (/^[1-9]$/.test(event.key) ? event.key : null);
  const key = event.key.toLowerCase();
  if (digit && event.shiftKey) {
    if (tile) move(tile, groups()[digit - 1]);
  } else if (digit) confirm(groups()[digit - 1]);
  else if (key === "enter" && document.activeElement.closest("a, button:not(.tile)")) return false;
  else if (key === "enter") confirm(tile?.closest(".group"));
  else if (key === "arrowright" || key === "arrowleft") {
    const all = tiles();
    goTo(tile ? all[all.indexOf(tile) + (key === "arrowright" ? 1 : -1)] : all[0]);
  } else if (key === "arrowdown" || key === "arrowup") goTo(tile ? vertical(tile, key === "arrowdown") : tiles()[0]);
  else if (key === "o") tile && other(tile);
  else if (key === "x") tile && settle(tile, { label: EXCLUDED }, "None of these");
  else if (key === "u") outbox.undo();
  else if (key === "g") location.href = "/";
  else return false;
  offerRest();
  return true;
});

// The group that was sent as this entry.
function sentAs({ rows }) {
  return groups().find((group) => group.dataset.rows === rows.join(","));
}

outbox.addEventListener("saved", ({ detail }) => {
  const count = sentAs(detail.entry)?.querySelector("[data-count]");
  if (count) count.textContent = `${detail.entry.rows.length} saved`;
});

outbox.addEventListener("dropped", ({ detail }) => {
  const group = sentAs(detail.entry);
  if (!group) return;
  reopen(group);
  refresh();
  say(`${group.dataset.name} is not saved: confirm it again.`);
});

outbox.addEventListener("change", () => {
  offerRest();
  lookForMore();
});

outbox.addEventListener("undone", async ({ detail }) => {
  await look();
  say(takenBack(detail));
});

// What was answered before a reload is on its way, and not asked again.
tiles().filter((tile) => outbox.has(tile.dataset.row)).forEach((tile) => tile.remove());
groups().filter((group) => !tiles(group).length).forEach((group) => group.remove());
refresh();
goTo(tiles()[0]);
lookForMore();
