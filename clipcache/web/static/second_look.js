// Images that people differ on, or put aside: the buttons work by themselves, "other" needs a box.

import { onKey } from "./keys.js";
import { askForClass } from "./search.js";
import { hush, say, tell } from "./standing.js";

document.getElementById("main").addEventListener("click", async ({ target }) => {
  const item = target.closest("[data-do=other]")?.closest(".item");
  if (!item) return;
  const found = await askForClass();
  if (!found) return;
  const values = found.label === undefined ? { name: found.name } : { label: found.label };
  htmx.ajax("POST", item.dataset.post, {
    source: item, // where htmx says whether it was saved
    target: item,
    swap: "outerHTML",
    values: { person: document.body.dataset.person, row: item.dataset.row, ...values },
  });
});

document.addEventListener("htmx:after:swap", () => {
  const kept = document.querySelector(".kept:not([data-said])");
  if (!kept) return;
  hush("second look");
  kept.dataset.said = "";
  say(kept.textContent);
  kept.focus();
  document.body.dispatchEvent(new CustomEvent("saved"));
});

function failed(why) {
  const text = `That was not saved: ${why}.`;
  say(text);
  tell(text, "second look"); // without "Try now": the button of the image tries again
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
