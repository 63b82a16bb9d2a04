// Requests to the service that this page comes from.

export async function get(path) {
  const response = await fetch(path, { cache: "no-cache", headers: { Accept: "application/json" } });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw Object.assign(new Error(`${path}: ${response.status}`), { status: response.status, detail: problem.detail || "" });
}

// A link of an answer, relative to this page: behind a proxy links begin with the path of the page.
export function relative(link) {
  const base = new URL(".", document.baseURI).pathname;
  return link.slice(link.startsWith(base) ? base.length : 1);
}
