// Images that people differ on, or put aside: the buttons work by themselves, "other" needs a box.

import { onKey } from "./keys.js";
import { askForClass } from "./search.js";
import { say } from "./standing.js";

document.getElementById("main").addEventListener("click", async ({ target }) => {
  const item = target.closest("[data-do=other]")?.closest(".item");
  if (!item) return;
  const found = await askForClass();
  if (!found) return;
  const values = found.label === undefined ? { name: found.name } : { label: found.label };
  htmx.ajax("POST", item.dataset.post, {
    target: item,
    swap: "outerHTML",
    values: { row: item.dataset.row, ...values },
  });
});

document.addEventListener("htmx:after:swap", () => {
  const kept = document.querySelector(".kept:not([data-said])");
  if (!kept) return;
  kept.dataset.said = "";
  say(kept.textContent);
  kept.focus();
  document.body.dispatchEvent(new CustomEvent("saved"));
});

function failed() {
  say("That was not saved: the server is not there, or refused it. Try again.");
  const banner = document.getElementById("banner");
  document.getElementById("banner-text").textContent = "That was not saved: the server is not there, or refused it. Try again.";
  banner.hidden = false;
}

document.addEventListener("htmx:error", ({ target }) => target.closest(".item") && failed());
document.addEventListener("htmx:response:error", ({ target }) => target.closest(".item") && failed());

onKey(({ key }) => {
  if (key.toLowerCase() !== "g") return false;
  location.href = "/";
  return true;
});
