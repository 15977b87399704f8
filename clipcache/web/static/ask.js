// Looks for images while a page waits for them; where nobody answers, the banner says so.

import { brief, NOBODY, PATIENCE, STRANGER } from "./outbox.js";
import { away } from "./standing.js";

let misses = 0; // tries in a row that failed: the first may be a server that is started again

// Return what the server has at `path`, or null where it does not answer.
export async function ask(path) {
  const { html = null, reason } = await get(path);
  misses = reason ? misses + 1 : 0;
  away(misses > 1 ? reason : null);
  return html;
}

async function get(path) {
  try {
    const response = await fetch(path, { redirect: "error", signal: AbortSignal.timeout(PATIENCE) });
    const html = await response.text();
    if (response.ok) return { html };
    return { reason: response.status === 401 ? STRANGER : `The server has no images now: ${brief(html)}.` };
  } catch {
    return { reason: NOBODY };
  }
}
