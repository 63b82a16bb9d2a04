// Requests to the service that this page comes from.

const PATIENCE_MS = 20_000; // of a request: then the page says that the service does not respond

const cached = new WeakMap();

export async function get(path) {
  const response = await fetch(path, { cache: "no-cache", headers: { Accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE_MS) });
  if (response.ok) {
    const answer = await response.json();
    const at = response.headers?.get("X-Cached-At");
    if (at) cached.set(answer, at);
    return answer;
  }
  const problem = await response.json().catch(() => ({}));
  throw Object.assign(new Error(`${path}: ${response.status}`), { status: response.status, detail: problem.detail || "" });
}

// When an answer that the service worker had kept was received (ISO 8601); null for one that is new.
export const cachedAt = (answer) => cached.get(answer) || null;

// A link of an answer, relative to this page: behind a proxy links begin with the path of the page.
export function relative(link) {
  const base = new URL(".", document.baseURI).pathname;
  return link.slice(link.startsWith(base) ? base.length : 1);
}

// The path of a URI template: without its variables.
export const plainLink = (link) => relative(link).replace(/\{.*\}$/, "");
