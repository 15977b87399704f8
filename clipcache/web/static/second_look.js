// Images that people differ on, or put aside: the buttons work by themselves, "other" needs a box.

import { onKey } from "./keys.js";
import { askForClass } from "./search.js";
import { say } from "./standing.js";

const banner = document.getElementById("banner");

document.getElementById("main").addEventListener("click", async ({ target }) => {
  const item = target.closest("[data-do=other]")?.closest(".item");
  if (!item) return;
  const found = await askForClass();
  if (!found) return;
  const values = found.label === undefined ? { name: found.name } : { label: found.label };
  htmx.ajax("POST", item.dataset.post, {
    target: item,
    swap: "outerHTML",
    values: { person: document.body.dataset.person, row: item.dataset.row, ...values },
  });
});

document.addEventListener("htmx:after:swap", () => {
  const kept = document.querySelector(".kept:not([data-said])");
  if (!kept) return;
  banner.hidden = true;
  kept.dataset.said = "";
  say(kept.textContent);
  kept.focus();
  document.body.dispatchEvent(new CustomEvent("saved"));
});

function failed(why) {
  const text = `That was not saved: ${why}.`;
  say(text);
  document.getElementById("banner-text").textContent = text;
  document.getElementById("banner-again").hidden = true; // the button of the image tries again
  banner.hidden = false;
}

document.addEventListener("htmx:error", ({ target }) => {
  if (target.closest(".item")) failed("the server is not there; try again");
});

document.addEventListener("htmx:response:error", ({ target, detail }) => {
  if (target.closest(".item")) failed(detail.ctx.text);
});

onKey(({ key }) => {
  if (key.toLowerCase() !== "g") return false;
  location.href = "/";
  return true;
});
