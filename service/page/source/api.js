// Requests to the service that this page comes from.

const PATIENCE_MS = 20_000; // of a request: then the page says that the service does not respond

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

// When the answer was received (`at`, also where the service worker had kept it: then `cachedAt` is set), and the service's
// clock then: a header, since a body that is revalidated remains as it was.
function receiptOf(headers) {
  const cachedAt = headers.get("X-Cached-At");
  const at = cachedAt ? Date.parse(cachedAt) : Date.now();
  return { at, cachedAt, clock: Date.parse(headers.get("X-Clock")) || at };
}

export const receipt = (answer) => received.get(answer);

// A link of an answer, relative to this page: behind a proxy links begin with the path of the page.
export function relative(link) {
  const base = new URL(".", document.baseURI).pathname;
  return link.slice(link.startsWith(base) ? base.length : 1);
}

// The path of a URI template: without its variables.
export const plainLink = (link) => relative(link).replace(/\{.*\}$/, "");
