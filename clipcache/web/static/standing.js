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

outbox.addEventListener("lost", ({ detail }) => {
  const size = outbox.size;
  const kept = size === 1 ? "1 answer is kept in this browser" : `${size} answers are kept in this browser`;
  const text = `${detail.reason} ${kept} and sent again until the server has all.`;
  if (bannerText.textContent !== text) bannerText.textContent = text;
  banner.hidden = false;
  again.hidden = false;
  drop.hidden = !detail.refused;
  lost = true;
  show();
});

outbox.addEventListener("back", () => {
  lost = false;
  banner.hidden = true;
  bannerText.textContent = "";
  say("The server is back: answers are saved again.");
  document.querySelectorAll(".picture.broken img").forEach((image) => {
    image.src = image.src; // it may only have been the network
  });
});

outbox.addEventListener("saved", () => {
  document.body.dispatchEvent(new CustomEvent("saved")); // the panel asks anew
});

again.addEventListener("click", () => outbox.again());
drop.addEventListener("click", () => outbox.drop());

// An image that cannot be loaded says so in its place.
document.addEventListener("error", ({ target }) => target.closest?.(".picture")?.classList.add("broken"), true);
document.addEventListener("load", ({ target }) => target.closest?.(".picture")?.classList.remove("broken"), true);

show();
if (outbox.size) outbox.flush(); // from before a reload
