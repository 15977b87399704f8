// Whether everything is saved, said at the top; and in a banner where the server is not there.

import { outbox } from "./outbox.js";

const saved = document.getElementById("saved");
const savedText = document.getElementById("saved-text");
const banner = document.getElementById("banner");
const bannerText = document.getElementById("banner-text");
const again = document.getElementById("banner-again");
const drop = document.getElementById("banner-drop");
const live = document.getElementById("say");
let lost = false;

// Show a banner with what is wrong; `about` tells whose it is, so that nobody else takes it away.
export function tell(text, about, { retry = false, refused = false } = {}) {
  if (bannerText.textContent !== text) bannerText.textContent = text;
  banner.dataset.about = about;
  banner.hidden = false;
  again.hidden = !retry;
  drop.hidden = !refused;
}

// Take away the banner where it is about this.
export function hush(about) {
  if (banner.dataset.about !== about) return;
  banner.hidden = true;
  bannerText.textContent = "";
}

// Say that a page looks for images in vain, or no longer does; answers that wait come first.
export function away(reason) {
  if (lost) return;
  if (reason) tell(`${reason} This page goes on by itself when that is over.`, "away");
  else hush("away");
}

// Have a screen reader say something.
export function say(text) {
  live.textContent = text;
}

// Return what to say when answers were taken back.
export function takenBack({ reason, count }) {
  return reason ?? (count === 0 ? "Nothing to take back." : count === 1 ? "Taken back." : `${count} answers taken back.`);
}

function show() {
  const size = outbox.size;
  saved.dataset.state = lost ? "lost" : size ? "saving" : "saved";
  savedText.textContent = lost ? `${size} not saved yet` : size ? "Saving …" : "All saved";
}

outbox.addEventListener("change", show);

function tellLost(reason, refused) {
  const size = outbox.size;
  const kept = size === 1 ? "1 answer is kept in this browser" : `${size} answers are kept in this browser`;
  tell(`${reason} ${kept} and sent again until the server has all.`, "lost", { retry: true, refused });
}

outbox.addEventListener("lost", ({ detail }) => {
  tellLost(detail.reason, detail.refused);
  lost = true;
  show();
});

outbox.addEventListener("undone", ({ detail }) => {
  if (!detail.reason) hush("undo");
  else if (lost) tellLost(detail.reason, !drop.hidden);
  else tell(detail.reason, "undo");
});

outbox.addEventListener("back", () => {
  lost = false;
  hush("lost");
  say("The server is back: answers are saved again.");
  document.querySelectorAll(".picture.broken img").forEach((image) => {
    image.src = image.src; // it may only have been the network
  });
});

outbox.addEventListener("saved", () => {
  hush("undo");
  document.body.dispatchEvent(new CustomEvent("saved")); // the panel asks anew
});

again.addEventListener("click", () => outbox.again());
drop.addEventListener("click", () => outbox.drop());

// An image that cannot be loaded says so in its place.
document.addEventListener("error", ({ target }) => target.closest?.(".picture")?.classList.add("broken"), true);
document.addEventListener("load", ({ target }) => target.closest?.(".picture")?.classList.remove("broken"), true);

show();
if (outbox.size) outbox.flush(); // from before a reload
