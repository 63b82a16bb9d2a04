// Requests to the service that this page comes from.

const PATIENCE_MS = 20_000; // of a request: then the page says that the service does not respond

// What a failed request means: no forecast yet, the service starts, or it does not respond.
export const failureOf = (error) => (error.status === 404 ? "waiting" : error.status === 503 || error.status === 429 ? "starting" : "silent");

const received = new WeakMap();

export async function get(path) {
  const response = await fetch(path, { cache: "no-cache", headers: { Accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE_MS) });
  if (response.ok) {
    const answer = await response.json();
    received.set(answer, receiptOf(response.headers));
    return answer;
  }
  const problem = await response.json().catch(() => ({}));
  throw Object.assign(new Error(`${path}: ${response.status}`), { status: response.status, detail: problem.detail || "" });
}

// Milliseconds that a shared cache had kept an answer: by its `Age`, or, without one, from the time of the answer (`max-age`
// before `Expires`) to the cache's own `Date`.
function keptFor(headers) {
  const lifetime = /max-age=(\d+)/.exec(headers.get("Cache-Control"));
  const made = lifetime ? Date.parse(headers.get("Expires")) - 1000 * lifetime[1] : NaN;
  return Math.max(0, 1000 * headers.get("Age") || 0, Date.parse(headers.get("Date")) - made || 0);
}

// When the answer was received (`at`, also where the service worker had kept it: then `cachedAt` is set), and the service's
// clock then: a header, since a body that is revalidated remains as it was.
export function receiptOf(headers) {
  const cachedAt = headers.get("X-Cached-At");
  const at = cachedAt ? Date.parse(cachedAt) : Date.now();
  return { at, cachedAt, clock: Date.parse(headers.get("X-Clock")) + keptFor(headers) || at };
}

export const receipt = (answer) => received.get(answer);

// A link of an answer, relative to this page: behind a proxy links begin with the path of the page.
export function relative(link) {
  const base = new URL(".", document.baseURI).pathname;
  return link.slice(link.startsWith(base) ? base.length : 1);
}

// The path of a URI template: without its variables.
export const plainLink = (link) => relative(link).replace(/\{.*\}$/, "");
