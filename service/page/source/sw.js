// The service worker: answers come from the service; what it answered last is kept for times without a connection, and
// says by `X-Cached-At` when this device received it. Tiles never change for one forecast: a kept one is not requested again.

const FILES = "files-2";
const ANSWERS = "answers-2";
const TILES = "tiles-1";
const SHELL = ["./", "page/page.css", "page/page.js", "page/manifest.webmanifest", "page/manifest.de.webmanifest", "page/icon.svg"];
const MOST_SCANS = 8; // lists of scans: each forecast requests one of other times
const LARGE = ["page/basemap.json", "page/places.json"];
const KEPT = /^(nowcast\/latest(\/map|\/point|\/motion)?|nowcast\/[0-9a-f-]{36}\/(map|point|motion)|scans|verification(\/reliability|\/rain-times)?|tiles|readyz)$/;
const TILE = /^tiles\/.+\.png$/;

const pathOf = (url) => url.href.slice(self.registration.scope.length).split(/[?#]/)[0];

self.addEventListener("install", (event) => event.waitUntil(keepShell().then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(clean().then(() => self.clients.claim())));

async function keepShell() {
  const cache = await caches.open(FILES);
  const page = await fetch(SHELL[0], { headers: { Accept: "text/html" } }); // without it the service answers with JSON
  if (!page.ok) throw new Error(`expected the page, got status ${page.status}`);
  await Promise.all([cache.put(SHELL[0], page), cache.addAll(SHELL.slice(1))]);
}

async function clean() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => ![FILES, ANSWERS, TILES].includes(name)).map((name) => caches.delete(name)));
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || !url.href.startsWith(self.registration.scope)) return;
  const path = pathOf(url);
  if (TILE.test(path) && url.searchParams.get("run") !== "latest") event.respondWith(tile(event.request));
  else if (KEPT.test(path)) event.respondWith(newest(event.request, ANSWERS));
  else if (path === "" || SHELL.includes(path) || LARGE.includes(path)) event.respondWith(newest(event.request, FILES));
});

async function newest(request, name) {
  const cache = await caches.open(name);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put(request.url, name === ANSWERS ? await dated(answer.clone()) : answer.clone());
    return answer;
  } catch (error) {
    const kept = await cache.match(request.url, { ignoreSearch: name === FILES });
    if (!kept) throw error;
    return kept;
  }
}

// A copy that says when it was received: `Date` is of another clock, and of a shared cache perhaps.
async function dated(answer) {
  const headers = new Headers(answer.headers);
  headers.set("X-Cached-At", new Date().toISOString());
  return new Response(await answer.blob(), { status: answer.status, headers });
}

async function tile(request) {
  const cache = await caches.open(TILES);
  const kept = await cache.match(request.url);
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.ok) await cache.put(request.url, answer.clone());
  return answer;
}

self.addEventListener("message", (event) => {
  if (event.data?.keep) event.waitUntil(forget(event.data.keep));
});

async function forget(id) {
  const cache = await caches.open(TILES);
  const requests = await cache.keys();
  await Promise.all(requests.filter((request) => new URL(request.url).searchParams.get("run") !== id).map((request) => cache.delete(request)));
  const answers = await caches.open(ANSWERS);
  const kept = await answers.keys(); // the oldest first
  const others = kept.filter(({ url }) => /[0-9a-f]{8}-[0-9a-f-]{27}/.test(url) && !url.includes(id));
  const scans = kept.filter(({ url }) => pathOf(new URL(url)) === "scans").slice(0, -MOST_SCANS);
  await Promise.all([...others, ...scans].map((request) => answers.delete(request)));
}

/* ---------- notifications of alerts ---------- */

self.addEventListener("push", (event) => {
  const { title, body, tag } = event.data.json();
  event.waitUntil(self.registration.showNotification(title, { body, tag, icon: "page/icon-192.png" }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(openPage());
});

async function openPage() {
  const open = await self.clients.matchAll({ type: "window" });
  return open.length ? open[0].focus() : self.clients.openWindow("./");
}
