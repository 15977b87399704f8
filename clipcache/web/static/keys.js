// Single keys, the list of them, and the switch that turns them off (for speech input, say).

const list = document.getElementById("keys");
const on = document.getElementById("keys-on");
const PLACE = "clipcache keys";

try {
  on.checked = localStorage.getItem(PLACE) !== "off";
} catch {
  // They are on.
}
on.addEventListener("change", () => {
  try {
    localStorage.setItem(PLACE, on.checked ? "on" : "off");
  } catch {
    // For this page only.
  }
});

function openList() {
  list.showModal();
  list.querySelector("button").focus();
}

document.getElementById("help").addEventListener("click", openList);

// Call `act(event)` for each key press that is meant for the page; it returns true where it took
// the key. Nothing repeats: a key that is held down is one answer.
export function onKey(act) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (document.querySelector("dialog[open]") || event.target.matches("input, textarea, select")) return;
    if (!on.checked && event.key.length === 1 && event.key !== " ") return;
    if (event.key === "?") openList();
    else if (!act(event)) return;
    event.preventDefault();
  });
}
