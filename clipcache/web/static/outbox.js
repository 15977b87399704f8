// Answers on their way: the browser keeps each until the server has it on disk, so that neither a
// lost network nor a server that is started again costs one.

const WAITS = [500, 1000, 2000, 4000, 8000]; // milliseconds before the next try
export const PATIENCE = 15000; // milliseconds until a try counts as failed

export const NOBODY = "No connection to the server.";
export const STRANGER = "The server no longer knows this browser: open the address that it printed.";

const { run, person } = document.body.dataset;
const PLACE = `clipcache ${run} ${person}`;

// The queue is kept where a reload and other tabs find it; in memory while the browser forbids that,
// as private windows and full disks do.
let memory = null;

function read() {
  if (memory) return memory;
  try {
    return JSON.parse(localStorage.getItem(PLACE)) ?? [];
  } catch {
    return [];
  }
}

function write(queue) {
  try {
    localStorage.setItem(PLACE, JSON.stringify(queue));
    memory = null;
  } catch {
    memory = queue;
  }
}

// What another tab has sent or dropped, which this one may show as well.
const tabs = new BroadcastChannel(PLACE);

// Events: "saved" {entry, html}, "dropped" {entry}, "undone" {html, count} or {reason}, "change",
// "lost" {reason, refused}, "back". What another tab has sent comes without html.
class Outbox extends EventTarget {
  #sending = false;
  #failures = 0;
  #timer = null;
  #undo = false;

  constructor() {
    super();
    tabs.addEventListener("message", ({ data }) => {
      this.#say(data.name, { entry: data.entry });
      this.#say("change");
    });
  }

  // Number of answers that the server has not confirmed.
  get size() {
    return read().length;
  }

  // Tell whether an answer to this image is on its way.
  has(row) {
    return read().some((entry) => entry.rows.includes(Number(row)));
  }

  // Keep an answer and send it; `fields` are those of the form at `path`.
  add(path, rows, fields) {
    const id = `${Date.now()} ${Math.random()}`;
    write([...read(), { id, path, rows: rows.map(Number), fields }]);
    this.#say("change");
    this.flush();
  }

  // Tell whether an answer is being taken back; until that is done, nothing new is answered.
  get undoing() {
    return this.#undo;
  }

  // Take the last answer back, when all before it have arrived. This is tried once, for nobody
  // knows whether a try that got no answer was made, and a second one would take back another.
  undo() {
    if (this.#failures) {
      this.#say("undone", { reason: "Undo needs the server, which is not there." });
      return;
    }
    this.#undo = true;
    this.flush();
  }

  // Give up the oldest answer, which the server refuses.
  drop() {
    const [entry, ...rest] = read();
    write(rest);
    if (entry) this.#settle("dropped", entry);
    this.#say("change");
    this.again();
  }

  // Try at once.
  again() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.flush();
  }

  async flush() {
    if (this.#sending || this.#timer) return;
    this.#sending = true;
    try {
      // One tab at a time, where the browser can do that.
      const alone = navigator.locks ? (f) => navigator.locks.request(PLACE, f) : (f) => f();
      await alone(() => this.#send());
    } finally {
      this.#sending = false;
    }
    if (!this.#timer && (read().length || this.#undo)) this.flush(); // came in meanwhile
  }

  async #send() {
    while (read().length || this.#undo) {
      const [entry] = read();
      const { html, count, reason, refused } = await post(entry ?? { path: "/undo", fields: {} });
      if (reason) {
        this.#fail(entry, reason, refused);
        return;
      }
      this.#well();
      if (entry) {
        write(read().filter((other) => other.id !== entry.id));
        this.#settle("saved", entry, html);
      } else {
        this.#undo = false;
        this.#say("undone", { html, count });
      }
      this.#say("change");
    }
    this.#well(); // another tab may have sent what this one could not
    this.#say("change");
  }

  #well() {
    if (this.#failures) this.#say("back");
    this.#failures = 0;
  }

  #fail(entry, reason, refused) {
    if (this.#undo) {
      this.#undo = false;
      this.#say("undone", { reason: `Undo may not have worked. ${reason}` });
    }
    if (!entry) return;
    const wait = WAITS[Math.min(this.#failures, WAITS.length - 1)];
    this.#failures += 1;
    this.#timer = setTimeout(() => this.again(), wait);
    this.#say("lost", { reason, refused });
  }

  // Say in all tabs what has become of an answer.
  #settle(name, entry, html) {
    tabs.postMessage({ name, entry });
    this.#say(name, { entry, html });
  }

  #say(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

// Return the server's answer as {html, count}, or why there is none as {reason, refused}.
async function post({ path, fields }) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      body: new URLSearchParams({ person, ...fields }),
      signal: AbortSignal.timeout(PATIENCE),
      redirect: "error",
    });
    const html = await response.text();
    if (response.ok) return { html, count: Number(response.headers.get("Taken-Back")) };
    if (response.status === 409) return { reason: `${html}.` };
    if (response.status === 401) return { reason: STRANGER };
    const refused = response.status !== 503;
    return { reason: `The server could not keep the answer: ${brief(html)}`, refused };
  } catch {
    return { reason: NOBODY };
  }
}

// Return what the server says went wrong, fit for one line.
export function brief(text) {
  return text.startsWith("<") ? "it is not well" : text.slice(0, 300);
}

export const outbox = new Outbox();

window.addEventListener("online", () => outbox.again());
window.addEventListener("beforeunload", (event) => {
  if (outbox.size) event.preventDefault(); // the browser asks whether to leave
});
